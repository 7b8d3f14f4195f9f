package lifecycle

import (
	"io"
	"log/slog"

	"github.com/spf13/pflag"
)

// LogFlags are the logging flags that every command has.
type LogFlags struct {
	Format, Level string
}

// Register adds the flags.
func (l *LogFlags) Register(f *pflag.FlagSet) {
	f.StringVar(&l.Format, "log-format", "json", "json or text")
	f.StringVar(&l.Level, "log-level", "info", "debug, info, warn or error")
}

// Logger is the logger that the flags ask for.
func (l *LogFlags) Logger(w io.Writer) (*slog.Logger, error) {
	return Logger(w, l.Format, l.Level)
}
