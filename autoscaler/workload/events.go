package workload

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/decision"
)

// Reasons of events that are not outcomes.
const (
	eventHeld    = "Held"
	eventResumed = "Resumed"
)

const (
	// maxNote is the longest note that the API server takes.
	maxNote = 1024
	// eventQueue is how many events may wait while the API server is slow.
	eventQueue   = 1024
	eventTimeout = 10 * time.Second
	// reporter is the name that events carry.
	reporter = "yagura.dev/autoscaler"
)

// eventReason says which event a record is worth, none when it returns "". Before is the record before it, nil when there is none.
func eventReason(record, before *decision.Record, novelty decision.Novelty) string {
	if !novelty.Different {
		return ""
	}
	switch record.Outcome {
	case decision.ScaledOut, decision.ScaledIn, decision.Resized, decision.Recreated, decision.RolledBack, decision.Failed:
		return string(record.Outcome)
	case decision.Recommended:
		if before == nil || before.Outcome != decision.Recommended && !sameDesired(before, record) || before.DesiredReplicas != record.DesiredReplicas {
			return string(decision.Recommended)
		}
	}
	if record.Direction == decision.Vertical && before != nil && before.Outcome == decision.Held && record.Outcome == decision.Held {
		return "" // which of several pods waits for what comes and goes; the records tell
	}
	switch {
	case novelty.EnteredHold:
		return eventHeld
	case novelty.LeftHold:
		return eventResumed
	}
	return ""
}

// sameDesired reports whether two records want the same sizes. Recommendations come and go with the runs of a job; only another size is
// news.
func sameDesired(a, b *decision.Record) bool {
	if len(a.Sizes) != len(b.Sizes) || len(a.Sizes) == 0 {
		return false
	}
	for i := range a.Sizes {
		s, t := &a.Sizes[i], &b.Sizes[i]
		if s.Container != t.Container || s.Role != t.Role || s.Resource != t.Resource || (s.Desired == nil) != (t.Desired == nil) ||
			s.Desired != nil && *s.Desired != *t.Desired {
			return false
		}
	}
	return true
}

// eventWriter writes events without keeping evaluations waiting. The usual recorders fold events that differ in their note only, and
// the note is what people want to read; so it creates each itself.
type eventWriter struct {
	client   eventsclient.EventsV1Interface
	instance string
	logger   *slog.Logger
	queue    chan *eventsv1.Event
	written  *prometheus.CounterVec
}

func newEventWriter(client eventsclient.EventsV1Interface, instance string, logger *slog.Logger, written *prometheus.CounterVec) *eventWriter {
	return &eventWriter{client: client, instance: instance, logger: logger, queue: make(chan *eventsv1.Event, eventQueue), written: written}
}

// add queues an event on a policy. It never blocks; an event that finds the queue full is dropped and counted.
func (w *eventWriter) add(policy *v1alpha1.WorkloadAutoscaler, reason string, record *decision.Record) {
	kind, note, at := corev1.EventTypeNormal, record.Reason, record.Time
	if record.Alarming() {
		kind = corev1.EventTypeWarning
	}
	if len(note) > maxNote {
		note = note[:maxNote-3] + "..."
	}
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%.200s.%x", policy.Name, at.UnixNano()), Namespace: policy.Namespace},
		EventTime:  metav1.NewMicroTime(at), ReportingController: reporter, ReportingInstance: w.instance,
		Action: "Decide", Reason: reason, Note: note, Type: kind,
		Regarding: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion().String(), Kind: v1alpha1.WorkloadAutoscalerKind, Namespace: policy.Namespace, Name: policy.Name,
			UID: policy.UID, ResourceVersion: policy.ResourceVersion,
		},
	}
	select {
	case w.queue <- event:
	default:
		w.written.WithLabelValues("dropped").Inc()
	}
}

// run writes events until the context ends, and then those that are queued, for a short while.
func (w *eventWriter) run(ctx context.Context) {
	for {
		select {
		case event := <-w.queue:
			w.write(ctx, event)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			for {
				select {
				case event := <-w.queue:
					w.write(last, event)
				default:
					return
				}
			}
		}
	}
}

func (w *eventWriter) write(ctx context.Context, event *eventsv1.Event) {
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	if _, err := w.client.Events(event.Namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		w.written.WithLabelValues("failed").Inc()
		w.logger.Warn("cannot write event", "namespace", event.Namespace, "name", event.Regarding.Name, "reason", event.Reason, "err", err)
		return
	}
	w.written.WithLabelValues("written").Inc()
}
