package podlogs_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/collector/podlogs"
)

// realLogs returns the lines of logs of real programs, by file name.
func realLogs(t testing.TB) map[string][]string {
	t.Helper()
	paths, err := filepath.Glob("../../../shared/data/logs/*.txt")
	require.NoError(t, err)
	if len(paths) == 0 {
		const message = "../shared/data/logs, beside the repository, has no logs"
		if os.Getenv("CI") == "true" {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	logs := map[string][]string{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		scanner := bufio.NewScanner(bytes.NewReader(content))
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			logs[filepath.Base(path)] = append(logs[filepath.Base(path)], scanner.Text())
		}
		require.NoError(t, scanner.Err())
	}
	return logs
}

func TestRealLogsArriveAsTheyAre(t *testing.T) {
	logs := realLogs(t)
	r := newRig(t)
	r.config.Files = []podlogs.Files{{Path: filepath.Join(r.plain, "*")}}
	want := map[string][]string{}
	total := 0
	for name, lines := range logs {
		r.write(filepath.Join(r.plain, name), strings.Join(lines, "\n")+"\n")
		want[name] = lines
		var text strings.Builder
		for i, line := range lines {
			// As runtimes do, long ones in pieces.
			for len(line) > 200 && i%2 == 0 {
				text.WriteString(cri("stdout P " + line[:200]))
				line = line[200:]
			}
			text.WriteString(cri("stdout F " + line))
		}
		r.write(r.container("real", strings.TrimSuffix(name, ".txt"), "uid", "c"), text.String())
		want[strings.TrimSuffix(name, ".txt")] = lines
		total += 2 * len(lines)
	}
	r.start()
	seen := map[string][]string{}
	for _, g := range r.whole(total) {
		name, ok := g.resource["k8s.pod.name"]
		if !ok {
			name = g.resource["log.file.name"]
		}
		seen[fmt.Sprint(name)] = append(seen[fmt.Sprint(name)], g.body)
	}
	for name, lines := range want {
		require.Equal(t, lines, seen[name], name)
	}
}
