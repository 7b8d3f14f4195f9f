package disruption_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/disruption"
)

func TestAfterOpen(t *testing.T) {
	window := func(schedule, zone string, d time.Duration) v1alpha1.Window {
		return v1alpha1.Window{Schedule: schedule, Timezone: zone, Duration: metav1.Duration{Duration: d}}
	}
	night := window("0 1 * * *", "", 4*time.Hour)
	from := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		windows []v1alpha1.Window
		need    time.Duration
		want    time.Time
		wantErr bool
	}{
		"no windows":              {nil, 90 * time.Minute, from.Add(90 * time.Minute), false},
		"no windows, for ever":    {nil, 10000 * time.Hour, time.Time{}, false},
		"the first night":         {[]v1alpha1.Window{night}, 3 * time.Hour, time.Date(2026, 3, 3, 4, 0, 0, 0, time.UTC), false},
		"three nights":            {[]v1alpha1.Window{night}, 9 * time.Hour, time.Date(2026, 3, 5, 2, 0, 0, 0, time.UTC), false},
		"nights that overlap":     {[]v1alpha1.Window{night, window("0 3 * * *", "", 4*time.Hour)}, 7 * time.Hour, time.Date(2026, 3, 4, 2, 0, 0, 0, time.UTC), false},
		"open now":                {[]v1alpha1.Window{window("0 11 * * *", "", 2*time.Hour)}, 30 * time.Minute, from.Add(30 * time.Minute), false},
		"another time zone":       {[]v1alpha1.Window{window("0 1 * * *", "Asia/Tokyo", time.Hour)}, time.Hour, time.Date(2026, 3, 2, 17, 0, 0, 0, time.UTC), false},
		"never open":              {[]v1alpha1.Window{window("0 0 30 2 *", "", time.Hour)}, time.Hour, time.Time{}, false},
		"a schedule not readable": {[]v1alpha1.Window{window("nonsense", "", time.Hour)}, time.Hour, time.Time{}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := disruption.AfterOpen(tt.windows, from, tt.need)
			if !got.Equal(tt.want) || (err != nil) != tt.wantErr {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}
