package admission

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	applyadmission "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	typedadmission "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
)

const (
	// FieldManager is the name under which the webhook writes its Secret and its configuration.
	FieldManager = "yagura-admission"
	// webhookName is the webhook's name within its configuration.
	webhookName = "pods.admission.yagura.dev"
	// path is where reviews are sent.
	path = "/mutate"
)

// registration is how the API server knows the webhook.
type registration struct {
	configurations typedadmission.MutatingWebhookConfigurationInterface
	cfg            Config
	// namespace is the autoscaler's; only is where policies are carried out, empty for everywhere.
	namespace string
	only      []string
	// address is what is listened on.
	address string
}

// url is where the API server sends reviews when that is not through a Service, else empty.
func (r registration) url() string {
	switch {
	case r.cfg.Service.Name != "":
		return ""
	case r.cfg.URL == "":
		return "https://" + r.address + path
	}
	// Validate has parsed it.
	u, err := url.Parse(r.cfg.URL)
	if err == nil && (u.Path == "" || u.Path == "/") {
		u.Path = path
		return u.String()
	}
	return r.cfg.URL
}

// hosts are the names that the API server expects in the certificate.
func (r registration) hosts() []string {
	if s := r.cfg.Service.Name; s != "" {
		return []string{s + "." + r.namespace + ".svc", s + "." + r.namespace, s + "." + r.namespace + ".svc.cluster.local"}
	}
	if u, err := url.Parse(r.url()); err == nil {
		return []string{u.Hostname()}
	}
	return nil
}

// leftOver reports whether nobody will serve under this registration after this process has ended.
func (r registration) leftOver() bool { return r.cfg.Service.Name == "" }

// apply tells the API server where the webhook is and whom to trust, and returns what it knows afterwards. It changes nothing when
// that is known already.
func (r registration) apply(ctx context.Context, bundle []byte) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	config := applyadmission.MutatingWebhookConfiguration(r.cfg.Configuration).
		WithLabels(map[string]string{"app.kubernetes.io/managed-by": FieldManager}).
		WithWebhooks(r.webhook(bundle))
	applied, err := r.configurations.Apply(ctx, config, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return nil, fmt.Errorf("apply webhook configuration %s: %w", r.cfg.Configuration, err)
	}
	return applied, nil
}

func (r registration) webhook(bundle []byte) *applyadmission.MutatingWebhookApplyConfiguration {
	client := applyadmission.WebhookClientConfig().WithCABundle(bundle...)
	if u := r.url(); u != "" {
		client.WithURL(u)
	} else {
		client.WithService(applyadmission.ServiceReference().
			WithNamespace(r.namespace).WithName(r.cfg.Service.Name).WithPort(r.cfg.Service.Port).WithPath(path))
	}
	w := applyadmission.MutatingWebhook().WithName(webhookName).WithClientConfig(client).
		WithRules(applyadmission.RuleWithOperations().
			WithAPIGroups("").WithAPIVersions("v1").WithResources("pods").WithOperations(admissionregistrationv1.Create).
			WithScope(admissionregistrationv1.NamespacedScope)).
		WithMatchPolicy(admissionregistrationv1.Equivalent).
		// A pod is never kept from being created by us.
		WithFailurePolicy(admissionregistrationv1.Ignore).
		WithTimeoutSeconds(int32(time.Duration(r.cfg.Timeout) / time.Second)).
		// A review changes nothing but the pod, so dry runs may ask for it.
		WithSideEffects(admissionregistrationv1.SideEffectClassNone).
		// Another webhook may add a container or set limits after us.
		WithReinvocationPolicy(admissionregistrationv1.IfNeededReinvocationPolicy).
		WithAdmissionReviewVersions("v1").
		WithNamespaceSelector(r.namespaces()).
		WithObjectSelector(objectSelector(r.cfg.Selector))
	for _, c := range conditions {
		w.WithMatchConditions(applyadmission.MatchCondition().WithName(c.name).WithExpression(c.expression))
	}
	return w
}

// conditions keep the API server from asking about pods that no policy can be about. One that cannot be evaluated means, as the
// failure policy is Ignore, that the webhook is not called.
var conditions = []struct{ name, expression string }{
	{"owned", "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, has(o.controller) && o.controller)"},
	{"not-mirrored", "!has(object.metadata.annotations) || !('" + mirror + "' in object.metadata.annotations)"},
}

// namespaces selects where pods are sized.
func (r registration) namespaces() *applymeta.LabelSelectorApplyConfiguration {
	excluded := append([]string{r.namespace}, r.cfg.ExcludeNamespaces...)
	slices.Sort(excluded)
	s := applymeta.LabelSelector().WithMatchExpressions(applymeta.LabelSelectorRequirement().
		WithKey("kubernetes.io/metadata.name").WithOperator(metav1.LabelSelectorOpNotIn).WithValues(slices.Compact(excluded)...))
	if len(r.only) > 0 {
		s.WithMatchExpressions(applymeta.LabelSelectorRequirement().
			WithKey("kubernetes.io/metadata.name").WithOperator(metav1.LabelSelectorOpIn).WithValues(r.only...))
	}
	return s
}

// covers reports whether the API server asks about pods of a namespace with some labels.
func (r registration) covers(namespace string, podLabels map[string]string) bool {
	if namespace == r.namespace || slices.Contains(r.cfg.ExcludeNamespaces, namespace) {
		return false
	}
	if len(r.only) > 0 && !slices.Contains(r.only, namespace) {
		return false
	}
	selector, err := labels.Parse(r.cfg.Selector)
	return err == nil && selector.Matches(labels.Set(podLabels))
}

// objectSelector is a selector in the API's form.
func objectSelector(text string) *applymeta.LabelSelectorApplyConfiguration {
	s := applymeta.LabelSelector()
	selector, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		return s // Validate refuses it
	}
	s.WithMatchLabels(selector.MatchLabels)
	for _, q := range selector.MatchExpressions {
		s.WithMatchExpressions(applymeta.LabelSelectorRequirement().WithKey(q.Key).WithOperator(q.Operator).WithValues(q.Values...))
	}
	return s
}

// read returns what the API server knows, nil when it does not know the webhook.
func (r registration) read(ctx context.Context) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	config, err := r.configurations.Get(ctx, r.cfg.Configuration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read webhook configuration %s: %w", r.cfg.Configuration, err)
	}
	return config, nil
}

// remove makes the API server forget the webhook.
func (r registration) remove(ctx context.Context) error {
	err := r.configurations.Delete(ctx, r.cfg.Configuration, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete webhook configuration %s: %w", r.cfg.Configuration, err)
	}
	return nil
}

// reachable is an address that a client on this machine can use for a listener: one on every address is reached on loopback.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	if tcp.IP == nil || tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
	}
	return tcp.String()
}
