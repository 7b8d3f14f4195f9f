package nodes

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	eventsclient "k8s.io/client-go/kubernetes/typed/events/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

const (
	// maxNote is the longest note that the API server takes.
	maxNote      = 1024
	eventQueue   = 1024
	eventTimeout = 10 * time.Second
	// reporter is the name that events carry.
	reporter = "yagura.dev/autoscaler"
)

// eventWriter writes events without keeping the loop waiting. One that finds the queue full is dropped and counted.
type eventWriter struct {
	client   eventsclient.EventsV1Interface
	instance string
	logger   *slog.Logger
	queue    chan *eventsv1.Event
	written  *prometheus.CounterVec
	sequence atomic.Uint32
}

func newEventWriter(client eventsclient.EventsV1Interface, instance string, logger *slog.Logger, written *prometheus.CounterVec) *eventWriter {
	return &eventWriter{client: client, instance: instance, logger: logger, queue: make(chan *eventsv1.Event, eventQueue), written: written}
}

// add queues an event on an object. It never blocks, and is safe for concurrent use.
func (w *eventWriter) add(regarding corev1.ObjectReference, kind, reason, note string) {
	if len(note) > maxNote {
		note = note[:maxNote-3] + "..."
	}
	at := time.Now()
	namespace := regarding.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%.200s.%x%04x", regarding.Name, at.UnixNano(), w.sequence.Add(1)&0xffff), Namespace: namespace},
		EventTime:  metav1.NewMicroTime(at), ReportingController: reporter, ReportingInstance: w.instance,
		Action: "Decide", Reason: reason, Note: note, Type: kind, Regarding: regarding,
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
		w.logger.Warn("cannot write event", "kind", event.Regarding.Kind, "name", event.Regarding.Name, "reason", event.Reason, "err", err)
		return
	}
	w.written.WithLabelValues("written").Inc()
}

func regardingPolicy(p *v1alpha1.NodePolicy) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion().String(), Kind: "NodePolicy", Name: p.Name, UID: p.UID}
}

func regardingClaim(c *v1alpha1.NodeClaim) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion().String(), Kind: "NodeClaim", Name: c.Name, UID: c.UID}
}

// regardingNode is as the kubelet's own events have it: their UID is the node's name.
func regardingNode(name string) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: name, UID: types.UID(name)}
}

func regardingPod(pod *corev1.Pod) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}
}
