package cluster

import (
	"math"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The resources that nearly every pod has lead a vector; others follow in the order in which they were first seen.
const (
	dimCPU     = iota // thousandths of a core
	dimMemory         // bytes
	dimStorage        // bytes of ephemeral storage
	dimPods           // pods
	fixedDims
)

// vector is an amount of each resource, by dimension. A vector may be shorter than others: what is missing is zero.
type vector []int64

// dimensions intern resource names. A name keeps its place for as long as the State lives.
type dimensions struct {
	index map[corev1.ResourceName]int
	names []corev1.ResourceName
}

func newDimensions() *dimensions {
	d := &dimensions{index: map[corev1.ResourceName]int{}}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage, corev1.ResourcePods} {
		d.index[name] = len(d.names)
		d.names = append(d.names, name)
	}
	return d
}

func (d *dimensions) of(name corev1.ResourceName) int {
	i, ok := d.index[name]
	if !ok {
		i = len(d.names)
		d.index[name] = i
		d.names = append(d.names, name)
	}
	return i
}

// vector is the list in whole units, rounded up as the scheduler does.
func (d *dimensions) vector(list corev1.ResourceList) vector {
	v := make(vector, fixedDims, len(d.names))
	for name, q := range list {
		i := d.of(name)
		for len(v) <= i {
			v = append(v, 0)
		}
		if i == dimCPU {
			v[i] = q.MilliValue()
		} else {
			v[i] = q.Value()
		}
	}
	return v
}

// list is the vector as Kubernetes writes it. Zeros are left out, and so is what counts volumes.
func (d *dimensions) list(v vector) corev1.ResourceList {
	out := make(corev1.ResourceList, len(v))
	for i, n := range v {
		switch {
		case n == 0 || d.isAttach(i):
		case i == dimCPU:
			out[d.names[i]] = *resource.NewMilliQuantity(n, resource.DecimalSI)
		case i == dimMemory || i == dimStorage:
			out[d.names[i]] = *resource.NewQuantity(n, resource.BinarySI)
		default:
			out[d.names[i]] = *resource.NewQuantity(n, resource.DecimalSI)
		}
	}
	return out
}

// fits says whether the request fits n times into what is free. What is not requested may be overdrawn, as for the scheduler.
func (free vector) fits(request vector) bool {
	for i, r := range request {
		if r > 0 && (i >= len(free) || r > free[i]) {
			return false
		}
	}
	return true
}

// times is how often the request fits into what is free.
func (free vector) times(request vector) int {
	most := int64(math.MaxInt32)
	for i, r := range request {
		if r <= 0 {
			continue
		}
		if i >= len(free) || r > free[i] {
			return 0
		}
		most = min(most, free[i]/r)
	}
	return int(most)
}

// short is the first resource that the request lacks, -1 when it fits.
func (free vector) short(request vector) int {
	for i, r := range request {
		if r > 0 && (i >= len(free) || r > free[i]) {
			return i
		}
	}
	return -1
}

// take subtracts the request n times and returns the vector, which may have grown.
func (free vector) take(request vector, n int) vector {
	for len(free) < len(request) {
		free = append(free, 0)
	}
	for i, r := range request {
		free[i] -= r * int64(n)
	}
	return free
}

func (free vector) at(i int) int64 {
	if i >= len(free) {
		return 0
	}
	return free[i]
}

func (free vector) clone() vector { return append(vector(nil), free...) }

// dot is the value of the vector at the given prices.
func (free vector) dot(prices []float64) float64 {
	sum := 0.0
	for i, n := range free {
		if i < len(prices) {
			sum += float64(n) * prices[i]
		}
	}
	return sum
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
