package build

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// progressInterval is how often progress is told.
const progressInterval = 10 * time.Second

// maxComplaints bounds the compiler's messages that are kept.
const maxComplaints = 40

// packagePath matches the lines in which "go build -v" names a package; all
// others are messages.
var packagePath = regexp.MustCompile(`^[a-zA-Z0-9][\w.~\-]*(/[\w.~\-]+)*$`)

// progress reads the output of "go build -v", which names each package that it
// compiles, and tells every few seconds how far it has come.
type progress struct {
	out   io.Writer
	total int
	begun time.Time

	mu       sync.Mutex
	partial  []byte
	compiled int
	messages []string
}

func newProgress(out io.Writer, total int) *progress {
	return &progress{out: out, total: total, begun: time.Now()}
}

// start tells progress regularly until the returned function is called.
func (p *progress) start() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				p.tell()
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (p *progress) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	elapsed := time.Since(p.begun).Round(time.Second)
	if p.compiled == 0 {
		// Either all is compiled and the linker works, or modules are fetched.
		fmt.Fprintf(p.out, "  %s: at work\n", elapsed)
		return
	}
	fmt.Fprintf(p.out, "  %s: %d of at most %d packages compiled\n", elapsed, p.compiled, p.total)
}

// Write takes the compiler's output.
func (p *progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, data...)
	for {
		end := bytes.IndexByte(p.partial, '\n')
		if end < 0 {
			return len(data), nil
		}
		p.line(strings.TrimRight(string(p.partial[:end]), "\r"))
		p.partial = p.partial[end+1:]
	}
}

func (p *progress) line(line string) {
	if packagePath.MatchString(line) {
		p.compiled++
		return
	}
	p.messages = append(p.messages, line)
	if len(p.messages) > maxComplaints {
		p.messages = p.messages[1:]
	}
}

// complaints returns the compiler's last messages.
func (p *progress) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.messages, "\n")
}
