package queue_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/queue"
)

// The test binary starts itself as a child that appends and delivers, and kills
// it again and again. The child reads its "source", the numbers from 1, from the
// position that the queue kept.
const (
	crashChildEnv = "YAGURA_QUEUE_CRASH_CHILD" // the queue folder
	crashURLEnv   = "YAGURA_QUEUE_CRASH_URL"
	crashLastEnv  = "YAGURA_QUEUE_CRASH_LAST" // set: deliver what is there, then end
)

func TestKilledProcessLosesAndRepeatsNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes for seconds")
	}
	receiver := &onceReceiver{t: t, seen: map[string][]byte{}}
	server := httptest.NewServer(receiver)
	defer server.Close()
	dir := t.TempDir()

	deadline := time.Now().Add(5 * time.Second)
	kills := 0
	for ; time.Now().Before(deadline); kills++ {
		child := crashCommand(dir, server.URL)
		require.NoError(t, child.Start())
		time.Sleep(time.Duration(20+rand.IntN(180)) * time.Millisecond)
		require.NoError(t, child.Process.Kill())
		var exit *exec.ExitError
		require.ErrorAs(t, child.Wait(), &exit)
		require.Equal(t, -1, exit.ExitCode(), "the child ended before it was killed")
	}
	last := crashCommand(dir, server.URL, crashLastEnv+"=1")
	require.NoError(t, last.Run())

	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	for i, n := range receiver.numbers {
		require.EqualValues(t, i+1, n, "the receiver got something twice, not at all, or out of order")
	}
	require.Greater(t, len(receiver.numbers), 100)
	t.Logf("%d kills, %d records once, %d resent", kills, len(receiver.numbers), receiver.repeats)
}

func crashCommand(dir, url string, env ...string) *exec.Cmd {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), append(env, crashChildEnv+"="+dir, crashURLEnv+"="+url)...)
	child.Stderr = os.Stderr
	return child
}

// onceReceiver stores a batch once, by its id, as the query service does.
type onceReceiver struct {
	t       *testing.T
	mu      sync.Mutex
	seen    map[string][]byte
	numbers []uint64
	repeats int
}

func (o *onceReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // killed while sending: nothing was accepted
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	id := r.Header.Get("Yagura-Batch")
	if before, ok := o.seen[id]; ok {
		o.repeats++
		if !bytes.Equal(before, body) {
			o.t.Errorf("batch %s was sent again with other content", id)
		}
		return
	}
	o.seen[id] = body
	for b := body; len(b) >= 8; b = b[8:] {
		o.numbers = append(o.numbers, binary.BigEndian.Uint64(b))
	}
}

func crashChild(dir string) {
	c := small()
	c.MaxBytes *= 4
	q, err := queue.Open(dir, c, quiet, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
	ctx := context.Background()
	if os.Getenv(crashLastEnv) == "" {
		go crashAppend(ctx, q)
	}
	for os.Getenv(crashLastEnv) == "" || q.Stats(queue.Logs).Records > 0 {
		record, err := q.Peek(ctx, queue.Logs)
		if err == nil {
			err = crashSend(fmt.Sprintf("%s/%s/%d", q.ID(), queue.Logs, record.Sequence), record.Payload)
		}
		if err == nil {
			err = q.Ack(queue.Logs, record.Sequence)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(3)
		}
	}
	if err := q.Close(); err != nil {
		os.Exit(3)
	}
}

// crashAppend appends the numbers that follow the kept position, some in a record.
func crashAppend(ctx context.Context, q *queue.Queue) {
	positions, err := q.Positions(queue.Logs)
	if err != nil {
		os.Exit(3)
	}
	var n uint64
	if p := positions["numbers"]; p != nil {
		n = binary.BigEndian.Uint64(p)
	}
	for {
		var payload []byte
		for range 1 + rand.IntN(200) {
			n++
			payload = binary.BigEndian.AppendUint64(payload, n)
		}
		err := q.AppendWait(ctx, queue.Logs, payload, queue.Positions{"numbers": binary.BigEndian.AppendUint64(nil, n)})
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(3)
		}
		if rand.IntN(20) == 0 {
			time.Sleep(time.Millisecond) // let the reader catch up now and then
		}
	}
}

func crashSend(id string, payload []byte) error {
	request, err := http.NewRequest(http.MethodPost, os.Getenv(crashURLEnv), bytes.NewReader(payload))
	if err != nil {
		return err
	}
	request.Header.Set("Yagura-Batch", id)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return errors.Join(err, response.Body.Close())
}
