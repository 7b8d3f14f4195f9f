package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// complete fills in what an API server would, as far as it matters to where a pod can go.
func complete(pod *corev1.Pod) {
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			c.Resources.Requests = withLimits(c.Resources.Requests, c.Resources.Limits)
			for j := range c.Ports {
				p := &c.Ports[j]
				if p.Protocol == "" {
					p.Protocol = corev1.ProtocolTCP
				}
				if pod.Spec.HostNetwork && p.HostPort == 0 {
					p.HostPort = p.ContainerPort
				}
			}
		}
	}
	if r := pod.Spec.Resources; r != nil {
		r.Requests = withLimits(r.Requests, r.Limits)
	}
}

// withLimits makes a limit the request where there is none.
func withLimits(requests, limits corev1.ResourceList) corev1.ResourceList {
	for name, q := range limits {
		if _, ok := requests[name]; !ok {
			if requests == nil {
				requests = corev1.ResourceList{}
			}
			requests[name] = q
		}
	}
	return requests
}

// checkPod says what in a pod an API server would have refused and a planner must not guess at.
func checkPod(pod *corev1.Pod) error {
	for _, of := range []struct {
		field      string
		containers []corev1.Container
	}{{"initContainers", pod.Spec.InitContainers}, {"containers", pod.Spec.Containers}} {
		for i, c := range of.containers {
			for name, q := range c.Resources.Requests {
				if q.Sign() < 0 {
					return fmt.Errorf("spec.%s[%d].resources.requests.%s: %s is negative", of.field, i, name, q.String())
				}
			}
		}
	}
	for name, q := range pod.Spec.Overhead {
		if q.Sign() < 0 {
			return fmt.Errorf("spec.overhead.%s: %s is negative", name, q.String())
		}
	}
	for i, c := range pod.Spec.TopologySpreadConstraints {
		at := fmt.Sprintf("spec.topologySpreadConstraints[%d]", i)
		switch {
		case c.MaxSkew < 1:
			return fmt.Errorf("%s.maxSkew: %d, want at least 1", at, c.MaxSkew)
		case c.TopologyKey == "":
			return fmt.Errorf("%s.topologyKey: missing", at)
		case c.WhenUnsatisfiable != corev1.DoNotSchedule && c.WhenUnsatisfiable != corev1.ScheduleAnyway:
			return fmt.Errorf("%s.whenUnsatisfiable: %q, want DoNotSchedule or ScheduleAnyway", at, c.WhenUnsatisfiable)
		}
		if err := checkSelector(at+".labelSelector", c.LabelSelector); err != nil {
			return err
		}
	}
	return checkAffinity(pod.Spec.Affinity)
}

func checkAffinity(a *corev1.Affinity) error {
	if a == nil {
		return nil
	}
	if a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		if _, err := nodeaffinity.NewNodeSelector(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution); err != nil {
			return fmt.Errorf("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution: %w", err)
		}
	}
	terms := map[string][]corev1.PodAffinityTerm{}
	if a.PodAffinity != nil {
		terms["podAffinity"] = a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	if a.PodAntiAffinity != nil {
		terms["podAntiAffinity"] = a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	for field, required := range terms {
		for i, t := range required {
			at := fmt.Sprintf("spec.affinity.%s.requiredDuringSchedulingIgnoredDuringExecution[%d]", field, i)
			if t.TopologyKey == "" {
				return fmt.Errorf("%s.topologyKey: missing", at)
			}
			if err := errors.Join(checkSelector(at+".labelSelector", t.LabelSelector), checkSelector(at+".namespaceSelector", t.NamespaceSelector)); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkSelector(field string, s *metav1.LabelSelector) error {
	if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

func checkNode(node *corev1.Node) error {
	if node.Status.Allocatable == nil {
		node.Status.Allocatable = node.Status.Capacity
	}
	if len(node.Status.Allocatable) == 0 {
		return errors.New("status.allocatable: missing")
	}
	for name, q := range node.Status.Allocatable {
		if q.Sign() < 0 {
			return fmt.Errorf("status.allocatable.%s: %s is negative", name, q.String())
		}
	}
	return nil
}

// namingQuantity adds the field to an error about a quantity, which does not know where it stands.
func namingQuantity(text []byte, err error) error {
	if !errors.Is(err, resource.ErrFormatWrong) && !strings.Contains(err.Error(), "quantit") {
		return err
	}
	var object any
	if json.Unmarshal(text, &object) != nil {
		return err
	}
	if at := badQuantity("", object); at != "" {
		return fmt.Errorf("%s: %w", strings.TrimPrefix(at, "."), err)
	}
	return err
}

// badQuantity finds the first value that stands where quantities do and is none.
func badQuantity(at string, value any) string {
	switch v := value.(type) {
	case []any:
		for i, item := range v {
			if found := badQuantity(fmt.Sprintf("%s[%d]", at, i), item); found != "" {
				return found
			}
		}
	case map[string]any:
		for key, item := range v {
			within := at + "." + key
			if list, ok := item.(map[string]any); ok && slices.Contains([]string{"requests", "limits", "overhead", "capacity", "allocatable"}, key) {
				for name, q := range list {
					if s, ok := q.(string); ok {
						if _, err := resource.ParseQuantity(s); err != nil {
							return within + "." + name
						}
					}
				}
			}
			if found := badQuantity(within, item); found != "" {
				return found
			}
		}
	}
	return ""
}
