package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yagura-dev/yagura/query/columnar"
)

// refusal is a whole request that was not taken, with what each protocol says
// about it.
type refusal struct {
	reason string // for our metrics
	http   int
	grpc   codes.Code
	retry  time.Duration // when to come again; 0 means that trying again is useless
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func undecodable(err error) *refusal {
	return &refusal{reason: "undecodable", http: http.StatusBadRequest, grpc: codes.InvalidArgument, err: err}
}

func badBatchID(err error) *refusal {
	return &refusal{reason: "bad_batch_id", http: http.StatusBadRequest, grpc: codes.InvalidArgument, err: err}
}

func unsupported(format string, args ...any) *refusal {
	return &refusal{reason: "unsupported_media_type", http: http.StatusUnsupportedMediaType, grpc: codes.InvalidArgument, err: fmt.Errorf(format, args...)}
}

func tooLarge(format string, args ...any) *refusal {
	return &refusal{reason: "too_large", http: http.StatusRequestEntityTooLarge, grpc: codes.InvalidArgument, err: fmt.Errorf(format, args...)}
}

func overloaded(err error) *refusal {
	return &refusal{reason: "overloaded", http: http.StatusServiceUnavailable, grpc: codes.Unavailable, retry: time.Second, err: err}
}

func rateLimited(after time.Duration, err error) *refusal {
	return &refusal{reason: "rate_limited", http: http.StatusTooManyRequests, grpc: codes.ResourceExhausted, retry: max(after, time.Second), err: err}
}

// refusalOf is what a store's error, or any other, means for the sender. What is
// not the sender's fault is always worth another try.
func refusalOf(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, columnar.ErrFull):
		return &refusal{reason: "disk_full", http: http.StatusServiceUnavailable, grpc: codes.ResourceExhausted, retry: 30 * time.Second, err: err}
	case errors.Is(err, columnar.ErrTooLarge):
		return tooLarge("%w", err)
	case errors.Is(err, columnar.ErrClosed):
		return &refusal{reason: "shutting_down", http: http.StatusServiceUnavailable, grpc: codes.Unavailable, retry: 5 * time.Second, err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &refusal{reason: "canceled", http: http.StatusServiceUnavailable, grpc: codes.Unavailable, retry: time.Second, err: err}
	}
	return &refusal{reason: "store_failed", http: http.StatusServiceUnavailable, grpc: codes.Unavailable, retry: 5 * time.Second, err: err}
}

// retryAfter is the value of the Retry-After header: whole seconds, rounded up.
func (r *refusal) retryAfter() string {
	return strconv.Itoa(int(math.Ceil(r.retry.Seconds())))
}

// status is the refusal as google.rpc.Status, with RetryInfo when the sender
// should come again.
func (r *refusal) status() *status.Status {
	st := status.New(r.grpc, validText(r.err.Error()))
	if r.retry == 0 {
		return st
	}
	with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(r.retry)})
	if err != nil {
		return st
	}
	return with
}

// maxErrorText bounds what an answer repeats of a request.
const maxErrorText = 4096

// validText makes a message fit for protobuf and HTTP: UTF-8, and not longer than
// maxErrorText.
func validText(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
