package journal

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsageIsExportedWithinBounds(t *testing.T) {
	var r receiver
	r.listen(t)
	registry := prometheus.NewRegistry()
	// More containers than the SDK tells apart by default.
	const containers = 3000
	cfg := Config{Endpoint: r.address, MetricsInterval: model.Duration(time.Hour), Capacity: containers}
	j, err := New(t.Context(), cfg, "test", slog.New(slog.DiscardHandler), registry)
	require.NoError(t, err)
	for i := range containers + 1 {
		j.Usage(map[string]string{"target_namespace": "shop", "target_container": "app" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)},
			map[string]float64{"yagura_autoscaler_usage_cpu_peak_cores": float64(i), "no such gauge": 1})
	}
	require.NoError(t, j.Close(t.Context()))
	r.mu.Lock()
	defer r.mu.Unlock()
	assert.Len(t, r.gauges, containers)
	assert.Equal(t, 1.0, r.gauges["yagura_autoscaler_usage_cpu_peak_cores shop appb"])
	assert.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`# HELP yagura_autoscaler_journal_lost_total Log entries and spans about decisions that were not delivered, by signal and reason.
# TYPE yagura_autoscaler_journal_lost_total counter
yagura_autoscaler_journal_lost_total{reason="full",signal="usage"} 1
`), "yagura_autoscaler_journal_lost_total"))
}
