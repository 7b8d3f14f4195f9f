package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Content types of OTLP over HTTP.
const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

func (r *Receiver) newHTTPServer() *http.Server {
	timeout := time.Duration(r.config.RequestTimeout)
	return &http.Server{
		Handler:           r.Handler(),
		ReadHeaderTimeout: timeout,
		ReadTimeout:       2 * timeout, // headers, waiting for room, and the body
		WriteTimeout:      3 * timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}
}

// Handler returns the HTTP side of the receiver: POST /v1/logs, /v1/traces and
// /v1/metrics.
func (r *Receiver) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, s := range r.signals {
		mux.HandleFunc(s.path, func(w http.ResponseWriter, request *http.Request) { r.serve(w, request, s) })
	}
	return mux
}

func (r *Receiver) serve(w http.ResponseWriter, request *http.Request, s *signal) {
	r.allowOrigin(w, request)
	if request.Method == http.MethodOptions && len(r.config.AllowedOrigins) > 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	kind, _, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	if err != nil || (kind != typeProtobuf && kind != typeJSON) {
		kind = ""
	}
	refused := r.post(request, s, kind)
	r.count(s, "http", refused)
	if refused != nil {
		r.refuse(w, kind, refused)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	if kind == typeJSON {
		_, _ = w.Write([]byte("{}"))
	}
}

// post takes one request. kind is its content type, empty for one that is not
// understood.
func (r *Receiver) post(request *http.Request, s *signal, kind string) *refusal {
	if request.Method != http.MethodPost {
		return &refusal{
			reason: "invalid", code: codes.Unimplemented, status: http.StatusMethodNotAllowed,
			err: fmt.Errorf("method %s is not allowed, use POST", request.Method),
		}
	}
	if kind == "" {
		return unsupported(fmt.Errorf("content type %q is not one of %s, %s", request.Header.Get("Content-Type"), typeProtobuf, typeJSON))
	}
	if request.ContentLength > int64(r.config.MaxRequestBytes) {
		return r.tooLarge()
	}
	ctx, cancel := context.WithTimeout(request.Context(), time.Duration(r.config.RequestTimeout))
	defer cancel()
	release, refused := r.acquire(ctx)
	if refused != nil {
		return refused
	}
	defer release()
	body, err := readBody(request.Body, request.Header.Get("Content-Encoding"), int(r.config.MaxRequestBytes))
	switch {
	case err == nil:
	case errors.Is(err, errEncoding):
		return unsupported(err)
	case errors.Is(err, errLarge):
		return r.tooLarge()
	default:
		return invalid(err)
	}
	if kind == typeJSON {
		if body, err = s.fromJSON(body); err != nil {
			return invalid(fmt.Errorf("parse the request as OTLP/JSON: %w", err))
		}
	}
	peer, _ := netip.ParseAddrPort(request.RemoteAddr)
	return r.accept(ctx, s, body, peer.Addr().Unmap())
}

func unsupported(err error) *refusal {
	return &refusal{reason: "invalid", code: codes.InvalidArgument, status: http.StatusUnsupportedMediaType, err: err}
}

// refuse writes a google.rpc.Status in the content type of the request.
func (r *Receiver) refuse(w http.ResponseWriter, kind string, refused *refusal) {
	s := status.New(refused.code, refused.Error())
	header := w.Header()
	if refused.retry {
		delay := time.Duration(r.config.RetryAfter)
		// The header counts whole seconds; 0 would mean at once.
		header.Set("Retry-After", strconv.Itoa(int((delay+time.Second-1)/time.Second)))
		if detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(delay)}); err == nil {
			s = detailed
		}
	}
	switch refused.status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case http.StatusUnsupportedMediaType:
		header.Set("Accept-Encoding", encodings)
	}
	var body []byte
	var err error
	if kind == typeProtobuf {
		body, err = proto.Marshal(s.Proto())
	} else {
		kind = typeJSON
		body, err = protojson.Marshal(s.Proto())
	}
	if err != nil {
		r.log.Error("cannot encode a status", "err", err)
	}
	header.Set("Content-Type", kind)
	code := refused.status
	if code == 0 {
		code = http.StatusServiceUnavailable
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// allowOrigin lets the pages of configured origins send, and nobody else's.
func (r *Receiver) allowOrigin(w http.ResponseWriter, request *http.Request) {
	origin := request.Header.Get("Origin")
	if origin == "" || len(r.config.AllowedOrigins) == 0 {
		return
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	if !slices.Contains(r.config.AllowedOrigins, origin) && !slices.Contains(r.config.AllowedOrigins, "*") {
		return
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Allow-Methods", http.MethodPost)
	header.Set("Access-Control-Allow-Headers", "Content-Type, Content-Encoding")
	header.Set("Access-Control-Max-Age", "3600")
}
