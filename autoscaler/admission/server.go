package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// Dependencies are what a Server works with. All but Owner and Only must be set.
type Dependencies struct {
	// Reader is a cache of WorkloadAutoscalers, Deployments, Jobs, LimitRanges, ResourceQuotas and Pods; of these with their
	// controller and the annotation Annotation. Jobs may be missing: then a CronJob is known by the names of its Jobs.
	Reader client.Reader
	// Kube is for the Secret and the MutatingWebhookConfiguration.
	Kube kubernetes.Interface
	// Namespace is the autoscaler's own. The Secret and the Service are in it, and its pods are left alone.
	Namespace string
	// Only are the namespaces whose policies are carried out, empty for all.
	Only []string
	// Leading reports whether this process writes the MutatingWebhookConfiguration.
	Leading func() bool
	// Owner names whoever else sizes a policy's target, as a VerticalPodAutoscaler does; empty when nobody does. Nil means nobody.
	Owner func(context.Context, *v1alpha1.WorkloadAutoscaler) (string, error)

	Clock   clock.WithTicker
	Logger  *slog.Logger
	Metrics *Metrics
}

// Server is the webhook of one replica. Make it with New, run it with Run.
type Server struct {
	cfg      Config
	deps     Dependencies
	reviewer reviewer
	// slots bounds how many reviews are worked on at a time.
	slots chan struct{}
}

const (
	// maxReview bounds a review's size in bytes. The API server takes objects of 3 MiB; a review holds little more.
	maxReview = 8 << 20
	// maxReviews bounds the reviews at a time, and so the memory that they take.
	maxReviews = 32
	// closeTimeout is how long reviews under way may take when the server ends.
	closeTimeout = 3 * time.Second
)

// New makes a server. It listens to nothing yet. A configuration without an address is an error: there is nothing to run.
func New(cfg Config, deps Dependencies) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("admission.%w", err)
	}
	if cfg.Listen == "" {
		return nil, errors.New("admission.listen: must be set")
	}
	return &Server{cfg: cfg, deps: deps, reviewer: reviewer{reader: deps.Reader, owner: deps.Owner}, slots: make(chan struct{}, maxReviews)}, nil
}

// Run listens, keeps the certificates and, in the leader, the MutatingWebhookConfiguration up to date, until the context ends. It
// returns nil then, and an error when the address cannot be listened on. What fails besides is logged, counted and tried again.
func (s *Server) Run(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("admission.listen: %w", err)
	}
	r := registration{
		configurations: s.deps.Kube.AdmissionregistrationV1().MutatingWebhookConfigurations(),
		cfg:            s.cfg, namespace: s.deps.Namespace, only: s.deps.Only, address: reachable(listener.Addr()),
	}
	keys := &keeper{
		secrets: s.deps.Kube.CoreV1().Secrets(s.deps.Namespace), name: s.cfg.Secret, hosts: r.hosts(), clock: s.deps.Clock, logger: s.deps.Logger,
	}
	server := &http.Server{
		Handler:   s.Handler(),
		TLSConfig: &tls.Config{GetCertificate: keys.certificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		// The API server keeps its connections for a long time and sends a review at once.
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       log.New(connectionErrors{s}, "", 0),
	}
	s.deps.Logger.Info("admission webhook listens", "address", listener.Addr().String())
	var group sync.WaitGroup
	ended := make(chan error, 1)
	group.Go(func() { ended <- server.ServeTLS(listener, "", "") })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { (&upkeep{server: s, keys: keys, registration: r}).run(ctx) })
	select {
	case <-ctx.Done():
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := server.Shutdown(last); err != nil {
			_ = server.Close()
		}
		<-ended
		err = nil
	case err = <-ended:
		err = fmt.Errorf("serve admission webhook: %w", err)
		cancel()
	}
	group.Wait()
	s.deps.Metrics.up.Set(0)
	return err
}

// connectionErrors takes what the HTTP server has to say about connections, such as failed handshakes.
type connectionErrors struct{ s *Server }

func (c connectionErrors) Write(line []byte) (int, error) {
	c.s.deps.Metrics.failures.WithLabelValues(taskConnection).Inc()
	c.s.deps.Logger.Debug("admission webhook", "err", string(line))
	return len(line), nil
}

// Handler answers reviews. It is what Run serves.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, s.serve)
	return mux
}

// serve answers one review. Whatever goes wrong inside it, the answer is that the pod is admitted as it came: an answer that does not
// allow it would refuse it in spite of the failure policy. Where there is not even a review to answer, an HTTP error leaves the
// decision to the failure policy, which admits it, too.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.deps.Metrics.reviews.WithLabelValues(string(resultBusy)).Inc()
		http.Error(w, "too many reviews at a time", http.StatusServiceUnavailable)
		return
	}
	started := s.deps.Clock.Now()
	defer func() { s.deps.Metrics.seconds.Observe(s.deps.Clock.Since(started).Seconds()) }()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
	var review admissionv1.AdmissionReview
	if err == nil {
		err = json.Unmarshal(body, &review)
	}
	if err == nil && (review.Request == nil || review.APIVersion != admissionv1.SchemeGroupVersion.String() || review.Kind != "AdmissionReview") {
		err = fmt.Errorf("not a request of %s", admissionv1.SchemeGroupVersion)
	}
	if err != nil {
		s.deps.Metrics.reviews.WithLabelValues(string(resultMalformed)).Inc()
		http.Error(w, "read review: "+err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(s.cfg.Timeout))
	defer cancel()
	answer, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: review.APIVersion, Kind: review.Kind}, Response: s.answer(ctx, review.Request),
	})
	if err != nil {
		http.Error(w, "encode answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // the API server has gone
}

// answer reviews a request. It always allows it.
func (s *Server) answer(ctx context.Context, req *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	response := &admissionv1.AdmissionResponse{UID: req.UID, Allowed: true}
	v, err := s.review(ctx, req)
	if err == nil && len(v.operations) > 0 {
		var patch []byte
		if patch, err = json.Marshal(v.operations); err == nil {
			kind := admissionv1.PatchTypeJSONPatch
			response.Patch, response.PatchType = patch, &kind
		}
	}
	if err != nil && (v.result == resultSized || v.result == resultUnchanged) {
		v.result = resultError
	}
	s.deps.Metrics.reviews.WithLabelValues(string(v.result)).Inc()
	s.log(ctx, req, v, err)
	return response
}

// review is reviewer.review, except that a mistake in it ends in an error, too.
func (s *Server) review(ctx context.Context, req *admissionv1.AdmissionRequest) (v verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = verdict{result: resultError}, fmt.Errorf("panic: %v", p)
		}
	}()
	return s.reviewer.review(ctx, req)
}

// log tells what a pod got or why it got nothing. That no policy is about it is no news.
func (s *Server) log(ctx context.Context, req *admissionv1.AdmissionRequest, v verdict, err error) {
	level := slog.LevelInfo
	switch v.result {
	case resultNoPolicy, resultNotAPod, resultNoSizes, resultUnchanged:
		level = slog.LevelDebug
	case resultSized:
	default:
		level = slog.LevelWarn
	}
	attributes := []any{"result", v.result, "namespace", req.Namespace, "pod", req.Name, "policy", v.policy}
	if v.reason != "" {
		attributes = append(attributes, "reason", v.reason)
	}
	if req.DryRun != nil && *req.DryRun {
		attributes = append(attributes, "dryRun", true)
	}
	if err != nil {
		attributes = append(attributes, "err", err)
	}
	s.deps.Logger.Log(ctx, level, "pod reviewed", attributes...)
}
