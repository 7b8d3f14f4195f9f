package consolidation

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// money prints a price with as many digits as say something.
func money(price float64) string { return strconv.FormatFloat(price, 'f', 4, 64) }

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func its(pods int) string {
	if pods == 1 {
		return "its pod has"
	}
	return fmt.Sprintf("its %d pods have", pods)
}

// clip rounds a duration to what people read.
func clip(d time.Duration) time.Duration {
	if d >= time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(time.Second)
}

// names prints a few of many.
func names(all []string) string {
	const most = 3
	if len(all) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

func offers(create []cluster.NewNode) string {
	var list []string
	for i := range create {
		o := &create[i].Offer
		text := o.Name
		if o.Zone != "" {
			text += " in " + o.Zone
		}
		if o.CapacityType != "" {
			text += " (" + o.CapacityType + ")"
		}
		list = append(list, text)
	}
	return names(list)
}

// isNew tells the planner's names of nodes that do not exist from those of nodes that do.
func isNew(node string) bool { return strings.HasPrefix(node, "new-") }
