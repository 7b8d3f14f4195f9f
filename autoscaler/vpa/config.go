package vpa

import (
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	vpav1 "k8s.io/autoscaler/vertical-pod-autoscaler/pkg/apis/autoscaling.k8s.io/v1"
)

// Config says for which VerticalPodAutoscalers sizes are recommended.
type Config struct {
	// Recommender is the name in spec.recommenders of the VerticalPodAutoscalers whose status is written. Empty means none.
	Recommender string `json:"recommender,omitempty"`
	// Interval is the time from one recommendation to the next.
	Interval model.Duration `json:"interval"`
}

// DefaultConfig recommends once a minute under the name yagura.
func DefaultConfig() Config {
	return Config{Recommender: "yagura", Interval: model.Duration(time.Minute)}
}

// defaultRecommender is the name of the recommender that those have who name none.
const defaultRecommender = "default"

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	switch {
	case c.Recommender == defaultRecommender:
		return fmt.Errorf("recommender: %q is the name of the VerticalPodAutoscaler's own", defaultRecommender)
	case c.Interval < model.Duration(time.Second):
		return fmt.Errorf("interval: must be at least 1s")
	}
	return nil
}

// Selects says whether a VerticalPodAutoscaler asks for recommendations of ours. One that asks several recommenders, which it may
// not, asks the first.
func (c Config) Selects(v *vpav1.VerticalPodAutoscaler) bool {
	r := v.Spec.Recommenders
	return c.Recommender != "" && len(r) > 0 && r[0] != nil && r[0].Name == c.Recommender
}
