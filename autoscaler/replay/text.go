package replay

import (
	"math"
	"strconv"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Quantity writes an amount of a resource as people read it.
func Quantity(resource vertical.Resource, v float64) string {
	if resource == vertical.CPU {
		return strconv.FormatFloat(v, 'g', 4, 64) + " cores"
	}
	units := [...]string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for math.Abs(v) >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + " " + units[i]
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
