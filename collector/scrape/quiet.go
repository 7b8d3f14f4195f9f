package scrape

import (
	"context"
	"log/slog"
	"sync"
)

// quiet is a log handler that passes a warning or error on once and its
// repetitions at debug level. Discovery reports a folder that does not exist yet
// each time it looks for it.
type quiet struct {
	slog.Handler
	said *said
}

// said are the messages that were passed on.
type said struct {
	mu       sync.Mutex
	messages map[string]struct{}
}

// maxSaid bounds what is remembered; beyond it everything is passed on.
const maxSaid = 1000

func newQuiet(h slog.Handler) quiet {
	return quiet{Handler: h, said: &said{messages: make(map[string]struct{})}}
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelWarn && q.said.again(record) {
		record.Level = slog.LevelDebug
		if !q.Enabled(ctx, record.Level) {
			return nil
		}
	}
	return q.Handler.Handle(ctx, record)
}

func (s *said) again(record slog.Record) bool {
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		text += "\xff" + a.String()
		return true
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, again := s.messages[text]; again {
		return true
	}
	if len(s.messages) < maxSaid {
		s.messages[text] = struct{}{}
	}
	return false
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{Handler: q.Handler.WithAttrs(attrs), said: q.said}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler {
	return quiet{Handler: q.Handler.WithGroup(name), said: q.said}
}
