package replay

import (
	"time"

	"github.com/yagura-dev/yagura/autoscaler/vertical"
)

// Sample is what one container used of one resource over the interval that ends at Time, in cores or bytes.
type Sample struct {
	Container string
	Resource  vertical.Resource
	Time      time.Time
	Usage     float64
}

// Step is what one sample met, and what was decided after it.
type Step struct {
	Time      time.Time         `json:"time"`
	Container string            `json:"container"`
	Resource  vertical.Resource `json:"resource"`
	Usage     float64           `json:"usage"`
	// Request is the request in force while the sample was taken, decided from the samples before it. It is nil until the
	// model first says something: until then the container has no request, and the sample counts in no share.
	Request *float64 `json:"request"`
	// Recommended is what the model asks for after the sample, nil when it knows nothing yet or was not asked.
	Recommended *float64 `json:"recommended"`
	// Next is the request in force from here on, after the policy's rules; nil like Request.
	Next  *float64 `json:"next"`
	Model string   `json:"model,omitempty"`
	// Warmup is true where the sample is left out of the summary.
	Warmup bool `json:"warmup,omitempty"`
	// Over is true when the usage was above the request in force, OOM when that killed the container.
	Over bool `json:"over,omitempty"`
	OOM  bool `json:"oom,omitempty"`
	// Change is true when Next differs from Request. The first request of a container is no change.
	Change bool   `json:"change,omitempty"`
	Reason string `json:"reason,omitempty"`
}
