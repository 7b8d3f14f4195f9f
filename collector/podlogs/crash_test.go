package podlogs_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/podlogs"
	"github.com/yagura-dev/yagura/collector/queue"
	"github.com/yagura-dev/yagura/collector/ship"
)

// The test binary starts itself as a child that tails, queues and ships, and kills
// it again and again while the parent writes and rotates logs and its receiver
// loses answers.
const (
	crashChildEnv = "YAGURA_PODLOGS_CRASH_CHILD" // a folder with pods/, plain/ and queue/
	crashURLEnv   = "YAGURA_PODLOGS_CRASH_URL"
)

func TestKilledProcessLosesAndRepeatsNoLine(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for seconds")
	}
	receiver := &onceReceiver{t: t, seen: map[string]bool{}, bodies: map[string]int{}}
	server := httptest.NewServer(receiver)
	defer server.Close()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "plain"), 0o700))

	stop := make(chan struct{})
	var writers sync.WaitGroup
	wrote := make([]int, 4)
	for i := range wrote {
		writers.Go(func() { wrote[i] = writeLines(t, dir, i, stop) })
	}
	kills := 0
	for deadline := time.Now().Add(6 * time.Second); time.Now().Before(deadline); kills++ {
		child := crashCommand(dir, server.URL)
		require.NoError(t, child.Start())
		time.Sleep(time.Duration(30+rand.IntN(250)) * time.Millisecond)
		require.NoError(t, child.Process.Kill())
		var exit *exec.ExitError
		require.ErrorAs(t, child.Wait(), &exit)
		require.Equal(t, -1, exit.ExitCode(), "the child ended before it was killed")
	}
	close(stop)
	writers.Wait()
	total := 0
	for _, n := range wrote {
		total += n
	}

	last := crashCommand(dir, server.URL)
	require.NoError(t, last.Start())
	defer func() {
		require.NoError(t, last.Process.Kill())
		_ = last.Wait()
	}()
	require.Eventually(t, func() bool { return receiver.distinct() >= total }, 2*time.Minute, 10*time.Millisecond,
		"every line arrives")
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	require.Len(t, receiver.bodies, total)
	for body, n := range receiver.bodies {
		require.Equal(t, 1, n, body)
	}
	require.Greater(t, total, 1000)
	t.Logf("%d kills, %d lines once, %d batches resent", kills, total, receiver.repeats)
}

// writeLines writes numbered lines until stop, and returns how many. Even writers
// write CRI entries, some of them pieces, on both streams; odd ones plain text.
func writeLines(t *testing.T, dir string, writer int, stop chan struct{}) int {
	random := rand.New(rand.NewPCG(uint64(writer), 7))
	path := filepath.Join(dir, "plain", fmt.Sprintf("app%d.log", writer))
	if writer%2 == 0 {
		container := filepath.Join(dir, "pods", fmt.Sprintf("ns_pod%d_uid%d", writer, writer), "c")
		if err := os.MkdirAll(container, 0o700); err != nil {
			t.Error(err)
		}
		path = filepath.Join(container, "0.log")
	}
	create := func() *os.File {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Error(err)
		}
		return file
	}
	file := create()
	defer func() { _ = file.Close() }()
	for n := 0; ; {
		select {
		case <-stop:
			return n
		case <-time.After(time.Duration(random.IntN(3)) * time.Millisecond):
		}
		var text strings.Builder
		for range 1 + random.IntN(50) {
			n++
			line := fmt.Sprintf("writer %d line %d %s", writer, n, strings.Repeat("x", random.IntN(200)))
			if writer%2 == 1 {
				text.WriteString(line + "\n")
				continue
			}
			if cut := random.IntN(len(line)); random.IntN(3) == 0 {
				n++
				other := fmt.Sprintf("writer %d line %d on the other stream", writer, n)
				text.WriteString(cri("stdout P "+line[:cut], "stderr F "+other, "stdout F "+line[cut:]))
			} else {
				text.WriteString(cri("stdout F " + line))
			}
		}
		// Torn into two writes, so that the tailer sees halves of lines.
		whole := text.String()
		cut := random.IntN(len(whole))
		for _, part := range []string{whole[:cut], whole[cut:]} {
			if _, err := file.WriteString(part); err != nil {
				t.Error(err)
			}
		}
		if random.IntN(100) == 0 {
			if err := os.Rename(path, path+"."+time.Now().Format("20060102-150405.000000")[:15]+fmt.Sprint(n)); err != nil {
				t.Error(err)
			}
			_ = file.Close()
			file = create()
		}
	}
}

func crashCommand(dir, url string) *exec.Cmd {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashChildEnv+"="+dir, crashURLEnv+"="+url)
	child.Stderr = os.Stderr
	return child
}

// crashChild runs the whole way of a line until it is killed.
func crashChild(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(3)
		}
	}
	q, err := queue.Open(filepath.Join(dir, "queue"), queue.DefaultConfig(), quiet, nil)
	fail(err)
	shipConfig := ship.DefaultConfig()
	shipConfig.URL = os.Getenv(crashURLEnv)
	shipConfig.MinBackoff = model.Duration(time.Millisecond)
	shipConfig.MaxBackoff = model.Duration(5 * time.Millisecond)
	shipper, err := ship.New(shipConfig, q, quiet, nil)
	fail(err)
	config := podlogs.DefaultConfig()
	config.PodsDir = filepath.Join(dir, "pods")
	config.Files = []podlogs.Files{{Path: filepath.Join(dir, "plain", "*.log*")}}
	config.Interval = model.Duration(5 * time.Millisecond)
	config.ScanInterval = model.Duration(10 * time.Millisecond)
	tailer, err := podlogs.New(config, q, nil, quiet, nil)
	fail(err)
	go func() { fail(shipper.Run(context.Background())) }()
	fail(tailer.Run(context.Background()))
}

// onceReceiver stores a batch once, by its id, as the query service does.
type onceReceiver struct {
	t       *testing.T
	mu      sync.Mutex
	seen    map[string]bool
	bodies  map[string]int
	repeats int
}

func (o *onceReceiver) distinct() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.bodies)
}

func (o *onceReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(r.Body)
	if err != nil || r.URL.Path != "/v1/logs" {
		return // killed while sending, or a heartbeat
	}
	if rand.IntN(20) == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if id := r.Header.Get("Yagura-Batch"); o.seen[id] {
		o.repeats++
	} else {
		o.seen[id] = true
		for _, line := range decode(o.t, payload) {
			o.bodies[line.body]++
		}
	}
	if rand.IntN(10) == 0 {
		panic(http.ErrAbortHandler) // it is stored, but the answer is lost
	}
}
