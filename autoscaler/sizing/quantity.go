package sizing

import (
	"math"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	minCPU    = 0.001
	minMemory = 4 << 20
	mebibyte  = 1 << 20
	// maxCPU and maxBytes are beyond any machine. They keep a broken number from becoming a broken quantity.
	maxCPU   = 1e5
	maxBytes = 1 << 50
)

// unit is what a request of a resource is a whole number of, in cores or bytes.
func unit(r corev1.ResourceName) float64 {
	if r == corev1.ResourceCPU {
		return minCPU
	}
	if size, ok := pageSize(r); ok {
		return size
	}
	return mebibyte
}

// least is the smallest request of a resource.
func least(r corev1.ResourceName) float64 {
	switch {
	case r == corev1.ResourceCPU:
		return minCPU
	case r == corev1.ResourceMemory:
		return minMemory
	case isHugePages(r):
		return 0
	}
	return mebibyte
}

func most(r corev1.ResourceName) float64 {
	if r == corev1.ResourceCPU {
		return maxCPU
	}
	return maxBytes
}

func isHugePages(r corev1.ResourceName) bool {
	return strings.HasPrefix(string(r), corev1.ResourceHugePagesPrefix)
}

func pageSize(r corev1.ResourceName) (float64, bool) {
	if !isHugePages(r) {
		return 0, false
	}
	q, err := resource.ParseQuantity(strings.TrimPrefix(string(r), corev1.ResourceHugePagesPrefix))
	if err != nil || q.Sign() <= 0 {
		return 0, false
	}
	return float64(q.Value()), true
}

// roundUp and roundDown give whole units. What is within a billionth of a whole unit is that unit: quantities in decimals are not
// exact in binary.
func roundUp(r corev1.ResourceName, v float64) float64 {
	return units(r, math.Ceil(v/unit(r)*(1-1e-9)))
}

func roundDown(r corev1.ResourceName, v float64) float64 {
	return units(r, math.Floor(v/unit(r)*(1+1e-9)))
}

func units(r corev1.ResourceName, n float64) float64 {
	if r == corev1.ResourceCPU {
		// Dividing gives the float64 nearest to the decimal; multiplying by 0.001 does not.
		return n / 1000
	}
	return n * unit(r)
}

// quantity is a value as Kubernetes writes it: CPU in millicores, bytes in binary units.
func quantity(r corev1.ResourceName, v float64) resource.Quantity {
	if r == corev1.ResourceCPU {
		return *resource.NewMilliQuantity(int64(math.Round(v*1000)), resource.DecimalSI)
	}
	return *resource.NewQuantity(int64(math.Round(v)), resource.BinarySI)
}

// amount is the value of a resource in a list, 0 when it is not there or not positive.
func amount(list corev1.ResourceList, r corev1.ResourceName) float64 {
	q, ok := list[r]
	if !ok {
		return 0
	}
	if r == corev1.ResourceCPU {
		if m := q.MilliValue(); m > 0 && m < math.MaxInt64 {
			return float64(m) / 1000
		}
	}
	return max(0, q.AsApproximateFloat64())
}

// text writes a value for people: 250m, 1.5 cores, 640 MiB.
func text(r corev1.ResourceName, v float64) string {
	if r == corev1.ResourceCPU {
		if v < 1 {
			return strconv.FormatFloat(math.Round(v*1e4)/10, 'f', -1, 64) + "m"
		}
		if v == 1 {
			return "1 core"
		}
		return number(v) + " cores"
	}
	names := [...]string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for math.Abs(v) >= 1024 && i < len(names)-1 {
		v /= 1024
		i++
	}
	return number(v) + " " + names[i]
}

// number writes a value with three significant digits, all of those before the point.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func percent(share float64) string { return number(share*100) + "%" }

// short writes a duration without the zero units that time.Duration prints.
func short(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "m"
	}
	return d.String()
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}
