package podlogs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/kube"
	"github.com/yagura-dev/yagura/collector/podlogs"
	"github.com/yagura-dev/yagura/collector/queue"
)

const uid = "93a99fc6-f43b-44fd-ae92-f1d8e79639ba"

// pods is metadata that can come late.
type pods struct{ pod atomic.Pointer[kube.Pod] }

func (p *pods) Enabled() bool { return true }

func (p *pods) PodByUID(uid string) (kube.Pod, bool) {
	if pod := p.pod.Load(); pod != nil && pod.UID == uid {
		return *pod, true
	}
	return kube.Pod{}, false
}

func TestContainerLinesCarryWhatIsKnown(t *testing.T) {
	workload := kube.Workload{Kind: "Deployment", Name: "checkout"}
	base := map[string]any{
		"k8s.cluster.name": "tokyo", "k8s.namespace.name": "shop", "k8s.pod.name": "checkout-1", "k8s.pod.uid": uid,
		"k8s.container.name": "web", "k8s.container.restart_count": int64(0),
	}
	for name, c := range map[string]struct {
		pod  *kube.Pod
		want map[string]any
	}{
		"nothing": {nil, map[string]any{"service.name": "web"}},
		"a label": {&kube.Pod{UID: uid, Node: "n1", Workload: workload, Labels: map[string]string{"app.kubernetes.io/name": "shop-checkout"}},
			map[string]any{"service.name": "shop-checkout", "k8s.node.name": "n1", "k8s.deployment.name": "checkout"}},
		"a workload": {&kube.Pod{UID: uid, Node: "n1", Workload: workload},
			map[string]any{"service.name": "checkout", "k8s.node.name": "n1", "k8s.deployment.name": "checkout"}},
		"a bare pod": {&kube.Pod{UID: uid, Node: "n1"}, map[string]any{"service.name": "web", "k8s.node.name": "n1"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.config.Cluster = "tokyo"
			if c.pod != nil {
				metadata := &pods{}
				metadata.pod.Store(c.pod)
				r.metadata = metadata
			}
			r.write(r.container("shop", "checkout-1", uid, "web"), cri("stdout F one", "stderr F two"))
			r.start()
			lines := r.whole(2)
			want := map[string]any{}
			for _, m := range []map[string]any{base, c.want} {
				for k, v := range m {
					want[k] = v
				}
			}
			require.Equal(t, got{"one", "stdout", stamp, want}, lines[0])
			require.Equal(t, got{"two", "stderr", stamp, want}, lines[1])
			problems, err := testutil.GatherAndLint(r.reg)
			require.NoError(t, err)
			require.Empty(t, problems)
		})
	}
}

func TestLinesWaitForMetadata(t *testing.T) {
	r := newRig(t)
	r.config.MetadataWait = 1 << 62
	metadata := &pods{}
	r.metadata = metadata
	r.write(r.container("shop", "checkout-1", uid, "web"), cri("stdout F one"))
	r.start()
	r.settle()
	require.Empty(t, r.drain())
	metadata.pod.Store(&kube.Pod{UID: uid, Workload: kube.Workload{Kind: "StatefulSet", Name: "db"}})
	require.Equal(t, "db", r.whole(1)[0].resource["service.name"])
}

func TestLinesDoNotWaitForMetadataForEver(t *testing.T) {
	r := newRig(t)
	r.metadata = &pods{}
	r.write(r.container("shop", "checkout-1", uid, "web"), cri("stdout F one"))
	r.start()
	require.Equal(t, "web", r.whole(1)[0].resource["service.name"])
}

func TestPiecesAreJoined(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.start()
	r.write(path, cri("stdout P one ", "stderr F other", "stdout P two ", "stderr P more "))
	require.Equal(t, []string{"other"}, r.lines(1))

	// A restart between the pieces: "other" must not come again, nor must pieces be lost.
	r.stop()
	r.write(path, cri("stderr F even more"))
	r.start()
	require.Equal(t, []string{"more even more"}, r.lines(1))
	r.stop()
	r.start()
	r.write(path, cri("stdout F three", "stdout F four"))
	require.Equal(t, []string{"one two three", "four"}, r.lines(2))
	r.settle()
	require.Empty(t, r.drain())
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.config.Files = []podlogs.Files{{Path: filepath.Join(r.plain, "*.log")}}
	plain := filepath.Join(r.plain, "app.log")
	var want, seen []string
	for i := range 6 {
		r.write(path, cri(fmt.Sprint("stdout F cri ", i)))
		r.write(plain, fmt.Sprint("plain ", i, "\n"))
		want = append(want, fmt.Sprint("cri ", i), fmt.Sprint("plain ", i))
		r.start()
		seen = append(seen, r.lines(2)...)
		r.settle()
		require.Empty(t, r.drain())
		r.stop()
	}
	require.ElementsMatch(t, want, seen)
}

func TestRotationByRename(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.start()
	r.write(path, cri("stdout F 1"))
	require.Equal(t, []string{"1"}, r.lines(1))
	rotated := path + ".20270102-030405"
	require.NoError(t, os.Rename(path, rotated))
	r.write(rotated, cri("stdout F 2")) // the runtime has not reopened yet
	r.write(path, cri("stdout F 3"))
	require.ElementsMatch(t, []string{"2", "3"}, r.lines(2))
	r.settle()
	require.InDelta(t, 1, r.metric("yagura_podlogs_open_files"), 0, "the rotated file is closed when it is quiet")

	require.NoError(t, os.Rename(rotated, rotated+".gz"))
	r.write(path, cri("stdout F 4"))
	require.Equal(t, []string{"4"}, r.lines(1))
	r.settle()
	require.Empty(t, r.drain())
}

func TestRotationsWhileNotRunning(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.write(path, cri("stdout F 1"))
	r.start()
	r.lines(1)
	r.stop()

	r.write(path, cri("stdout F 2"))
	require.NoError(t, os.Rename(path, path+".20270102-030405"))
	r.write(path, cri("stdout F 3"))
	require.NoError(t, os.Rename(path, path+".20270102-030406"))
	r.write(path+".20270102-000000.gz", "not text")
	r.write(path, cri("stdout F 4"))
	r.start()
	require.ElementsMatch(t, []string{"2", "3", "4"}, r.lines(3))
	r.stop()
	r.start()
	r.settle()
	require.Empty(t, r.drain())
}

func TestPlainFileRotatedWhileNotRunning(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: path, ServiceName: "app"}}
	r.write(path, "1\n")
	r.write(path+".7", "an old archive that was never read\n")
	r.start()
	first := r.whole(1)
	require.Equal(t, map[string]any{"service.name": "app", "log.file.path": path, "log.file.name": "app.log"}, first[0].resource)
	r.stop()

	r.write(path, "2\n")
	require.NoError(t, os.Rename(path, path+".1"))
	r.start()
	require.Equal(t, []string{"2"}, r.lines(1))
	r.write(path, "3\n")
	require.Equal(t, []string{"3"}, r.lines(1))
	r.settle()
	require.Empty(t, r.drain())
}

func TestCopyTruncate(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: path}}
	r.start()
	r.write(path, "first\nsecond\n")
	r.lines(2)
	require.NoError(t, os.Truncate(path, 0))
	r.write(path, "third\n")
	require.Equal(t, []string{"third"}, r.lines(1))

	// Written anew, past the position, between two looks.
	require.NoError(t, os.WriteFile(path, []byte("fourth line\nfifth line\n"), 0o600))
	require.Equal(t, []string{"fourth line", "fifth line"}, r.lines(2))
	require.InDelta(t, 2, r.metric("yagura_podlogs_truncations_total"), 0)

	// A writer that does not append leaves a hole.
	require.NoError(t, os.WriteFile(path, append(make([]byte, 100), "sixth\n"...), 0o600))
	require.Equal(t, []string{"sixth"}, r.lines(1))
}

func TestInodeThatIsUsedAgain(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.write(path, cri("stdout F old 1", "stdout F old 2"))
	r.start()
	r.lines(2)
	r.stop()
	// The same inode with other content, longer than what was read.
	require.NoError(t, os.WriteFile(path, []byte(cri("stdout F new 1", "stdout F new 2", "stdout F new 3")), 0o600))
	r.start()
	require.Equal(t, []string{"new 1", "new 2", "new 3"}, r.lines(3))
}

func TestDeletedFileIsReadToItsEnd(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: path}}
	r.write(path, "1\n")
	r.start()
	r.lines(1)
	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	_, err = writer.WriteString("2\nwithout an end")
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.Equal(t, []string{"2", "without an end"}, r.lines(2))
	require.Eventually(t, func() bool { return r.metric("yagura_podlogs_open_files") == 0 }, 20*time.Second, time.Millisecond)

	r.clock.Step(2 * time.Hour)
	require.Eventually(t, func() bool {
		positions, err := r.queue.Positions(queue.Logs)
		return err == nil && len(positions) == 0
	}, 20*time.Second, time.Millisecond, "the position is forgotten after long")
}

func TestUnfinishedLineWaits(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: path}}
	r.start()
	r.write(path, "half")
	r.settle()
	require.Empty(t, r.drain())
	r.write(path, " and half\r\n")
	require.Equal(t, []string{"half and half"}, r.lines(1))
}

func TestLongLinesAreSplit(t *testing.T) {
	r := newRig(t)
	r.config.MaxLineBytes = 1 << 10
	plain := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: plain}}
	r.start()

	text := strings.Repeat("櫓", 1000) // 3 bytes each
	r.write(plain, text+"\nshort\n")
	lines := r.lines(4)
	require.Equal(t, text, strings.Join(lines[:3], ""))
	require.Equal(t, "short", lines[3])

	huge := strings.Repeat("x", 2<<20) // more than the buffer
	r.write(plain, huge+"\nshort\n")
	lines = r.lines(2<<10 + 1)
	require.Equal(t, huge, strings.Join(lines[:2<<10], ""))

	path := r.container("a", "b", "c", "d")
	piece := strings.Repeat("p", 400)
	r.write(path, cri("stdout P "+piece, "stdout P "+piece, "stdout P "+piece, "stdout F end", "stdout F short"))
	require.Equal(t, []string{piece + piece, piece + "end", "short"}, r.lines(3))
	require.Positive(t, r.metric("yagura_podlogs_split_lines_total"))
}

func TestStrangeBytesAreSentAsFarAsTheyCan(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.write(path, cri("stdout F bad \xff\xfe bytes", "stdout F ")+"no CRI at all\n"+cri("stdout F good"))
	r.start()
	lines := r.whole(4)
	require.Equal(t, "bad \uFFFD bytes", lines[0].body)
	require.Empty(t, lines[1].body)
	require.Equal(t, "no CRI at all", lines[2].body)
	require.NotZero(t, lines[2].time)
	require.Equal(t, "good", lines[3].body)
	require.InDelta(t, 1, r.metric("yagura_podlogs_malformed_lines_total"), 0)
	require.InDelta(t, 1, r.metric("yagura_podlogs_invalid_utf8_lines_total"), 0)
}

func TestEqualLinesOfAPlainFileHaveDifferentTimes(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: path}}
	r.write(path, strings.Repeat("same\n", 100))
	r.start()
	times := map[time.Time]bool{}
	for _, g := range r.whole(100) {
		times[g.time] = true
	}
	require.Len(t, times, 100)
}

func TestFromEnd(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: filepath.Join(r.plain, "*")}}
	r.config.From = podlogs.FromEnd
	r.write(path, "old\n")
	r.start()
	r.settle()
	r.stop()
	r.write(path, "while away\n")
	r.start()
	require.Equal(t, []string{"while away"}, r.lines(1))
	r.write(filepath.Join(r.plain, "later.log"), "all of it\n")
	require.Equal(t, []string{"all of it"}, r.lines(1))
}

func TestFullQueueStopsReadingAndLosesNothing(t *testing.T) {
	r := newRig(t)
	r.queueCfg.MaxBytes, r.queueCfg.SegmentBytes = 1<<20, 64<<10
	r.config.BatchBytes = 64 << 10
	path := r.container("a", "b", "c", "d")
	var want []string
	var text strings.Builder
	for i := range 20_000 {
		body := fmt.Sprintf("%d %x", i, uint64(i)*0x9E3779B97F4A7C15*uint64(i)) // hard to compress
		want = append(want, body)
		text.WriteString(cri("stdout F " + body))
	}
	r.write(path, text.String())
	for i := range 3 {
		copied := r.container("a", "b", fmt.Sprint("c", i), "d")
		r.write(copied, text.String())
	}
	r.start()
	require.Eventually(t, func() bool { return r.metric("yagura_podlogs_stalled") == 1 }, 20*time.Second, time.Millisecond)

	// Files are held while nothing is read, so even these lines are not lost.
	require.NoError(t, os.RemoveAll(filepath.Dir(path)))
	r.settle()
	seen := map[string]int{}
	for _, g := range r.whole(4 * len(want)) {
		seen[g.body]++
	}
	require.Len(t, seen, len(want))
	for _, body := range want {
		require.Equal(t, 4, seen[body])
	}
	require.Eventually(t, func() bool { return r.metric("yagura_podlogs_stalled") == 0 }, 20*time.Second, time.Millisecond)
}

func TestFileThatIsClosedWhileTheQueueIsFull(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.start()
	r.write(path, cri("stdout F 1", "stdout P 2"))
	require.Equal(t, []string{"1"}, r.lines(1))
	r.full.Store(true)
	require.NoError(t, os.Rename(path, path+".20270102-030405"))
	r.write(path, "")
	require.Eventually(t, func() bool { return r.metric("yagura_podlogs_stalled") == 1 }, 20*time.Second, time.Millisecond)
	r.write(path+".20270102-030405", cri("stdout F 3"))
	r.settle()
	r.full.Store(false)
	require.Equal(t, []string{"2", "3"}, r.lines(2))
	r.settle()
	require.Empty(t, r.drain())
}

func TestNoHeartbeatWhileLinesDoNotGetThrough(t *testing.T) {
	r := newRig(t)
	path := r.container("a", "b", "c", "d")
	r.write(path, "")
	r.start()
	require.Eventually(t, func() bool { return len(r.heartbeats()) > 0 }, 20*time.Second, time.Millisecond)
	r.full.Store(true)
	r.write(path, cri("stdout F 1"))
	require.Eventually(t, func() bool { return r.metric("yagura_podlogs_stalled") == 1 }, 20*time.Second, time.Millisecond)
	r.settle()
	r.heartbeats()
	r.pass(time.Minute)
	require.Empty(t, r.heartbeats())
	r.full.Store(false)
	r.lines(1)
	require.Eventually(t, func() bool { return len(r.heartbeats()) > 0 }, 20*time.Second, time.Millisecond)
}

func TestPodsThatAppear(t *testing.T) {
	r := newRig(t)
	r.start() // without even the folder of pods
	r.settle()
	var want []string
	for i := range 5 {
		r.write(r.container("a", "b", fmt.Sprint("c", i), "d"), cri(fmt.Sprint("stdout F ", i)))
		want = append(want, fmt.Sprint(i))
	}
	require.ElementsMatch(t, want, r.lines(5))
}

// heartbeats returns the label sets of the heartbeats that are queued.
func (r *rig) heartbeats() []string {
	r.t.Helper()
	var out []string
	for r.queue.Stats(queue.Metrics).Records > 0 {
		record, err := r.queue.Peek(r.t.Context(), queue.Metrics)
		require.NoError(r.t, err)
		require.NoError(r.t, r.queue.Ack(queue.Metrics, record.Sequence))
		proto, err := s2.Decode(nil, record.Payload)
		require.NoError(r.t, err)
		var request writev2.Request
		require.NoError(r.t, request.Unmarshal(proto))
		for _, series := range request.Timeseries {
			var text []string
			for i := 0; i < len(series.LabelsRefs); i += 2 {
				text = append(text, request.Symbols[series.LabelsRefs[i]]+"="+request.Symbols[series.LabelsRefs[i+1]])
			}
			out = append(out, strings.Join(text, " "))
			require.InDelta(r.t, float64(series.Samples[0].Timestamp)/1000, series.Samples[0].Value, 0.001)
		}
	}
	return out
}

func TestHeartbeatOfSourcesThatAreRead(t *testing.T) {
	r := newRig(t)
	r.config.Cluster, r.config.Node = "tokyo", "n1"
	plain := filepath.Join(r.plain, "app.log")
	r.config.Files = []podlogs.Files{{Path: plain}}
	path := r.container("shop", "checkout-1", uid, "web")
	r.write(path, "")
	r.write(filepath.Join(filepath.Dir(path), "1.log"), "")
	r.write(plain, "")
	r.start()
	want := []string{
		"__name__=yagura_log_source_heartbeat_timestamp_seconds cluster=tokyo container=web namespace=shop node=n1 pod=checkout-1 service_name=web",
		"__name__=yagura_log_source_heartbeat_timestamp_seconds cluster=tokyo node=n1 service_name=app.log",
	}
	for range 3 {
		var beats []string
		require.Eventually(t, func() bool {
			beats = append(beats, r.heartbeats()...)
			return len(beats) >= 2
		}, 20*time.Second, time.Millisecond)
		require.Zero(t, len(beats)%2)
		require.ElementsMatch(t, want, beats[:2])
	}

	require.NoError(t, os.Remove(plain))
	r.pass(time.Minute)
	r.heartbeats()
	r.pass(time.Minute)
	for _, beat := range r.heartbeats() {
		require.Equal(t, want[0], beat, "a file that is gone has none")
	}
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	require.NoError(t, podlogs.DefaultConfig().Validate())
	err := podlogs.Config{Files: []podlogs.Files{{}, {Path: "["}}, From: "middle", MetadataWait: -1}.Validate()
	for _, want := range []string{"files[0].path:", "files[1].path:", "from:", "interval:", "metadataWait:", "maxLineBytes:", "batchBytes:"} {
		require.ErrorContains(t, err, want)
	}
}
