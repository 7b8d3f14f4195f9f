package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal notes in which order parts were told to stop.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) part(name string) lifecycle.Part {
	return lifecycle.Part{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.lines = append(j.lines, name)
		return ctx.Err()
	}}
}

func TestGroupStopsLaterStagesFirst(t *testing.T) {
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := lifecycle.Group{Logger: slog.New(slog.DiscardHandler), Stages: [][]lifecycle.Part{
		{j.part("query")}, {j.part("collector")}, {j.part("autoscaler")},
	}}
	if err := g.Run(ctx); err != nil {
		t.Fatalf("a stop that was asked for is no error: %v", err)
	}
	if want := []string{"autoscaler", "collector", "query"}; !slices.Equal(j.lines, want) {
		t.Errorf("stopped in order %v, want %v", j.lines, want)
	}
}

func TestGroupEndsWithItsFirstPart(t *testing.T) {
	broken := errors.New("disk on fire")
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"a failure":          {broken, "collector: disk on fire"},
		"a silent early end": {nil, "collector: ended on its own"},
	} {
		t.Run(name, func(t *testing.T) {
			var j journal
			failing := lifecycle.Part{Name: "collector", Run: func(context.Context) error { return tc.err }}
			g := lifecycle.Group{Logger: slog.New(slog.DiscardHandler), Stages: [][]lifecycle.Part{
				{j.part("query")}, {failing}, {j.part("autoscaler")},
			}}
			err := g.Run(t.Context())
			if err == nil || err.Error() != tc.want {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if want := []string{"autoscaler", "query"}; !slices.Equal(j.lines, want) {
				t.Errorf("stopped %v, want %v", j.lines, want)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	logger, err := lifecycle.Logger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("hidden")
	logger.Warn("seen", "key", "value")
	if got := out.String(); strings.Contains(got, "hidden") || !strings.Contains(got, `"key":"value"`) {
		t.Errorf("logged %q", got)
	}
	for _, bad := range [][2]string{{"xml", "info"}, {"json", "loud"}} {
		if _, err := lifecycle.Logger(&out, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), "--log-") {
			t.Errorf("format %q, level %q: error %v, want one that names the flag", bad[0], bad[1], err)
		}
	}
}
