package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// LabelCapacityType says under which contract a node runs: on-demand, spot or reserved.
const LabelCapacityType = "karpenter.sh/capacity-type"

const (
	// defaultPods is the kubelet's own default for how many pods a node takes, for shapes that do not say it.
	defaultPods = "110"
	// maxBytes bounds a file. All shapes of the large clouds together are below 20 MB.
	maxBytes = 256 << 20
	// maxOffers bounds what requirements with several values multiply to.
	maxOffers = 1 << 20
)

// instanceType is an entry of the file, a shape and the terms on which it is sold. The format is that of Karpenter's kwok provider:
//
//	[{"name": "c-1x-amd64-linux", "architecture": "amd64", "operatingSystems": ["linux"],
//	  "resources": {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "20Gi", "pods": "16"},
//	  "offerings": [{"Price": 0.027, "Available": true, "Requirements": [
//	    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
//	    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}]}]
//
// Resources are what pods may request, as given. Further keys are ignored.
type instanceType struct {
	Name             string                                  `json:"name"`
	Architecture     string                                  `json:"architecture"`
	OperatingSystems []string                                `json:"operatingSystems"`
	Resources        map[corev1.ResourceName]json.RawMessage `json:"resources"`
	Offerings        []offering                              `json:"offerings"`
}

type offering struct {
	Price        *float64
	Available    *bool
	Requirements []corev1.NodeSelectorRequirement
}

// Read reads offers. An operating system, zone or capacity type out of several makes an offer of each. A label of a node comes from each
// requirement with operator In; requirements with other operators set none. Offers that name, zone and capacity type do not tell apart
// have as Group the labels that do. Errors name the entry and its field. Offers are in the order of the file, those of Linux first.
func Read(r io.Reader) ([]cluster.Offer, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read offers: %w", err)
	case len(data) > maxBytes:
		return nil, fmt.Errorf("offers are larger than %d bytes", maxBytes)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("offers: want a JSON list of instance types: %w", position(data, err))
	}
	var offers []cluster.Offer
	seen := map[string]int{}
	for i, entry := range entries {
		var t instanceType
		if err := json.Unmarshal(entry, &t); err != nil {
			return nil, fmt.Errorf("offers[%d]: %w", i, described(err))
		}
		where := fmt.Sprintf("offers[%d]", i)
		if t.Name != "" {
			where = fmt.Sprintf("offers[%d] (%s)", i, t.Name)
		}
		if first, again := seen[t.Name]; again {
			return nil, fmt.Errorf("%s.name: the same as offers[%d]", where, first)
		}
		seen[t.Name] = i
		of, err := t.offers(maxOffers - len(offers))
		if err != nil {
			return nil, fmt.Errorf("%s.%w", where, err)
		}
		offers = append(offers, of...)
	}
	// The scheduler puts a pod that does not select an operating system on any, and hardly any such pod means Windows: where prices are
	// equal, the first offer counts.
	slices.SortStableFunc(offers, func(a, b cluster.Offer) int { return cmp.Compare(linuxFirst(&a), linuxFirst(&b)) })
	return offers, nil
}

// position tells the line of a syntax error.
func position(data []byte, err error) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		read := data[:min(int(syntax.Offset), len(data))]
		return fmt.Errorf("line %d: %w", bytes.Count(read, []byte("\n"))+1, err)
	}
	return described(err)
}

// described tells the field of a value of the wrong type.
func described(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: want %s instead of %s", cmp.Or(wrong.Field, "value"), wrong.Type, wrong.Value)
	}
	return err
}

// offers are the type's. Errors begin with the name of the field.
func (t *instanceType) offers(atMost int) ([]cluster.Offer, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	allocatable, err := quantities(t.Resources)
	if err != nil {
		return nil, err
	}
	var offers []cluster.Offer
	for i, o := range t.Offerings {
		sets, err := t.labels(o, atMost-len(offers))
		if err != nil {
			return nil, fmt.Errorf("offerings[%d].%w", i, err)
		}
		for _, labels := range sets {
			offer := cluster.Offer{
				Name:         t.Name,
				Zone:         labels[corev1.LabelTopologyZone],
				CapacityType: labels[LabelCapacityType],
				PricePerHour: *o.Price,
				Available:    *o.Available,
				Labels:       labels,
				Allocatable:  allocatable,
				Stock:        -1,
			}
			if !offer.Available {
				offer.Unavailable = "the offer is marked as not available"
			}
			offers = append(offers, offer)
		}
	}
	return offers, tellApart(offers)
}

func linuxFirst(o *cluster.Offer) int {
	if o.Labels[corev1.LabelOSStable] == "linux" {
		return 0
	}
	return 1
}

func (t *instanceType) check() error {
	switch {
	case t.Name == "":
		return errors.New("name: missing")
	case t.Architecture == "":
		return errors.New("architecture: missing")
	case len(t.OperatingSystems) == 0:
		return errors.New("operatingSystems: missing")
	case len(t.Resources) == 0:
		return errors.New("resources: missing")
	}
	for field, values := range map[string][]string{"name": {t.Name}, "architecture": {t.Architecture}, "operatingSystems": t.OperatingSystems} {
		for _, v := range values {
			if problems := validation.IsValidLabelValue(v); len(problems) > 0 || v == "" {
				return fmt.Errorf("%s: %q cannot be the value of a label: %s", field, v, strings.Join(problems, ", "))
			}
		}
	}
	for i, o := range t.Offerings {
		switch {
		case o.Price == nil:
			return fmt.Errorf("offerings[%d].Price: missing", i)
		case *o.Price < 0 || math.IsInf(*o.Price, 0) || math.IsNaN(*o.Price):
			return fmt.Errorf("offerings[%d].Price: %v is negative or not finite", i, *o.Price)
		case o.Available == nil:
			return fmt.Errorf("offerings[%d].Available: missing", i)
		}
	}
	return nil
}

func quantities(given map[corev1.ResourceName]json.RawMessage) (corev1.ResourceList, error) {
	list := corev1.ResourceList{corev1.ResourcePods: resource.MustParse(defaultPods)}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if name == "" {
			return nil, errors.New("resources: a resource without a name")
		}
		if len(given[name]) > 100 {
			return nil, fmt.Errorf("resources.%s: no quantity", name)
		}
		var q resource.Quantity
		if err := q.UnmarshalJSON(given[name]); err != nil || string(given[name]) == "null" {
			return nil, fmt.Errorf("resources.%s: %s is no quantity such as 4, 500m or 16Gi", name, given[name])
		}
		if q.Sign() < 0 {
			return nil, fmt.Errorf("resources.%s: %s is negative", name, q.String())
		}
		list[name] = q
	}
	return list, nil
}

// labels are those of nodes, one set for each combination of values.
func (t *instanceType) labels(o offering, atMost int) ([]map[string]string, error) {
	sets := []map[string]string{{
		corev1.LabelInstanceTypeStable: t.Name,
		corev1.LabelArchStable:         t.Architecture,
	}}
	values := []corev1.NodeSelectorRequirement{{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: t.OperatingSystems}}
	for i, r := range o.Requirements {
		if problems := validation.IsQualifiedName(r.Key); len(problems) > 0 {
			return nil, fmt.Errorf("%s[%d].key: %q is no name of a label: %s", requirements, i, r.Key, strings.Join(problems, ", "))
		}
		switch r.Operator {
		case corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist, corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
			continue
		case corev1.NodeSelectorOpIn:
		default:
			return nil, fmt.Errorf("%s[%d].operator: unknown operator %q", requirements, i, r.Operator)
		}
		if len(r.Values) == 0 {
			return nil, fmt.Errorf("%s[%d].values: missing", requirements, i)
		}
		for _, v := range r.Values {
			if problems := validation.IsValidLabelValue(v); len(problems) > 0 {
				return nil, fmt.Errorf("%s[%d].values: %q cannot be the value of a label: %s", requirements, i, v, strings.Join(problems, ", "))
			}
		}
		if r.Key == corev1.LabelOSStable {
			values[0] = r
			continue
		}
		values = append(values, r)
	}
	for _, r := range values {
		if len(sets)*len(r.Values) > atMost {
			return nil, fmt.Errorf("%s: more than %d offers", requirements, maxOffers)
		}
		var more []map[string]string
		for _, v := range r.Values {
			for _, set := range sets {
				set = maps.Clone(set)
				set[r.Key] = v
				more = append(more, set)
			}
		}
		sets = more
	}
	return sets, nil
}

// tellApart gives a group to offers that nothing else tells apart. Offers of one name can differ in labels only.
func tellApart(offers []cluster.Offer) error {
	same, shared := map[cluster.OfferID]int{}, map[string]string{}
	for i := range offers {
		same[offers[i].ID()]++
		if i == 0 {
			shared = maps.Clone(offers[0].Labels)
		}
		maps.DeleteFunc(shared, func(k, v string) bool { other, ok := offers[i].Labels[k]; return !ok || other != v })
	}
	seen := map[cluster.OfferID]bool{}
	for i := range offers {
		o := &offers[i]
		if same[o.ID()] > 1 {
			var own []string
			for _, k := range slices.Sorted(maps.Keys(o.Labels)) {
				if _, all := shared[k]; !all && k != corev1.LabelTopologyZone && k != LabelCapacityType {
					own = append(own, k+"="+o.Labels[k])
				}
			}
			o.Group = strings.Join(own, ",")
		}
		if seen[o.ID()] {
			return fmt.Errorf("offerings: two of zone %q and capacity type %q", o.Zone, o.CapacityType)
		}
		seen[o.ID()] = true
	}
	return nil
}

// requirements is a field of the file's, in the spelling that it has there.
const requirements = "Requirements"
