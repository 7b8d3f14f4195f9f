package columnartest

import (
	"archive/tar"
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/ulikunitz/xz"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Corpus is real logs: a day of a microservice demo and a web server's access
// log, on disk in time order, so that reading it takes little memory.
type Corpus struct {
	Path  string
	Rows  int
	Bytes int64 // of lines
}

type corpusRow struct {
	ts     int64
	stream int
	line   string
	trace  string
	span   string
}

// DataDir finds the folder of public data beside the repository. Without it the
// test is skipped, or fails where CI is set.
func DataDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	data := filepath.Join(filepath.Dir(dir), "shared", "data")
	if _, err := os.Stat(data); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("real data is missing: %v", err)
		}
		t.Skipf("SKIPPED: real data is missing: %v", err)
	}
	return data
}

// PrepareCorpus decodes the public logs into a file of dir. The service logs keep
// their times; the access log is spread over the hour after them.
func PrepareCorpus(t testing.TB, dir string) *Corpus {
	t.Helper()
	data := DataDir(t)
	c, err := prepareCorpus(data, filepath.Join(dir, "corpus"))
	if err != nil {
		t.Fatalf("prepare real logs: %v", err)
	}
	return c
}

func prepareCorpus(data, path string) (*Corpus, error) {
	streams := map[string]int{}
	var sets []labels.Labels
	streamOf := func(ls labels.Labels) int {
		key := ls.String()
		i, ok := streams[key]
		if !ok {
			i = len(sets)
			streams[key] = i
			sets = append(sets, ls)
		}
		return i
	}
	rows, err := readServiceLogs(filepath.Join(data, "correlated", "train-ticket-2023-01-29.tar.xz"), streamOf)
	if err != nil {
		return nil, err
	}
	last := int64(0)
	for _, r := range rows {
		last = max(last, r.ts)
	}
	access, err := readAccessLog(filepath.Join(data, "logs", "nginx-access.gz"))
	if err != nil {
		return nil, err
	}
	nginx := streamOf(labels.FromStrings("app", "nginx"))
	for i, line := range access {
		rows = append(rows, corpusRow{ts: last + int64(i)*(int64(time.Hour)/int64(len(access))), stream: nginx, line: line})
	}
	slices.SortStableFunc(rows, func(a, b corpusRow) int { return cmp.Compare(a.ts, b.ts) })
	c := &Corpus{Path: path, Rows: len(rows)}
	return c, c.write(sets, rows)
}

func readServiceLogs(path string, streamOf func(labels.Labels) int) ([]corpusRow, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	x, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, err
	}
	var rows []corpusRow
	archive := tar.NewReader(x)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(h.Name, ".csv") && filepath.Base(filepath.Dir(h.Name)) == "log" {
			if rows, err = readServiceFile(rows, archive, streamOf); err != nil {
				return nil, fmt.Errorf("%s: %w", h.Name, err)
			}
		}
	}
	type key struct {
		stream int
		ts     int64
		line   string
	}
	seen := make(map[key]bool, len(rows))
	return slices.DeleteFunc(rows, func(r corpusRow) bool {
		k := key{r.stream, r.ts, r.line}
		again := seen[k]
		seen[k] = true
		return again
	}), nil
}

// readServiceFile reads the columns Timestamp, TimeUnixNano, Node, PodName,
// Container, TraceID, SpanID, Log.
func readServiceFile(rows []corpusRow, in io.Reader, streamOf func(labels.Labels) int) ([]corpusRow, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	for first := true; ; first = false {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if first || err != nil || len(record) != 8 {
			continue
		}
		ts, err := strconv.ParseInt(record[1], 10, 64)
		var entry struct{ Log string }
		if err != nil || ts <= 0 || json.Unmarshal([]byte(record[7]), &entry) != nil {
			continue
		}
		pod := record[3]
		app := pod
		if parts := strings.Split(pod, "-"); len(parts) > 2 {
			app = strings.Join(parts[:len(parts)-2], "-")
		}
		rows = append(rows, corpusRow{
			ts:     ts,
			stream: streamOf(labels.FromStrings("app", app, "container", record[4], "namespace", "ts", "node", record[2], "pod", pod)),
			line:   strings.TrimRight(entry.Log, "\r\n"), trace: strings.Clone(record[5]), span: strings.Clone(record[6]),
		})
	}
}

func readAccessLog(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var lines []string
	s := bufio.NewScanner(z)
	s.Buffer(make([]byte, 1<<20), 1<<24)
	for s.Scan() {
		lines = append(lines, s.Text())
	}
	return lines, s.Err()
}

func (c *Corpus) write(sets []labels.Labels, rows []corpusRow) error {
	f, err := os.Create(c.Path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var buf []byte
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	buf = binary.AppendUvarint(buf, uint64(len(sets)))
	for _, ls := range sets {
		buf = binary.AppendUvarint(buf, uint64(ls.Len()))
		ls.Range(func(l labels.Label) { text(l.Name); text(l.Value) })
	}
	for _, r := range rows {
		c.Bytes += int64(len(r.line))
		buf = binary.AppendVarint(buf, r.ts)
		buf = binary.AppendUvarint(buf, uint64(r.stream))
		text(r.line)
		text(r.trace)
		text(r.span)
		if len(buf) > 1<<16 {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err = w.Write(buf)
	return errors.Join(err, w.Flush(), f.Close())
}

// Batches calls fn with the corpus as batches of about batchBytes of lines, each
// in copies that differ as real replicas do: other pods, other ids, times shifted
// by microseconds. Batches share memory; fn must not keep them.
func (c *Corpus) Batches(copies, batchBytes int, fn func(columnar.Batch) error) error {
	f, err := os.Open(c.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	r := corpusReader{in: in}
	sets := r.labels(copies)
	var rows []corpusRow
	size := 0
	emit := func() error {
		for k := range copies {
			if err := fn(corpusBatch(rows, sets[k], k)); err != nil {
				return err
			}
		}
		rows, size = rows[:0], 0
		return nil
	}
	for {
		row, ok := r.row()
		if r.err != nil {
			return r.err
		}
		if !ok {
			break
		}
		rows = append(rows, row)
		if size += len(row.line); size >= batchBytes {
			if err := emit(); err != nil {
				return err
			}
		}
	}
	return emit()
}

func corpusBatch(rows []corpusRow, sets []labels.Labels, k int) columnar.Batch {
	index := map[int]int{}
	b := columnar.Batch{Table: columnar.Logs}
	for _, r := range rows {
		i, ok := index[r.stream]
		if !ok {
			i = len(b.Streams)
			index[r.stream] = i
			ls := sets[r.stream]
			b.Streams = append(b.Streams, columnar.Stream{Tenant: columnar.Tenant{Namespace: ls.Get("namespace")}, Labels: ls})
		}
		row := columnar.Row{Timestamp: r.ts + int64(k)*1003, Line: permuteIDs(r.line, k)}
		if r.trace == "" {
			// The access log has no pods, so its copies share a stream, where equal
			// lines side by side would compress as no real log does.
			row.Line = permuteDigits(r.line, k)
		}
		if r.trace != "" {
			row.Fields = append(row.Fields, columnar.Field{Name: "trace_id", Value: permuteIDs(r.trace, k)})
		}
		if r.span != "" {
			row.Fields = append(row.Fields, columnar.Field{Name: "span_id", Value: permuteIDs(r.span, k)})
		}
		b.Streams[i].Rows = append(b.Streams[i].Rows, row)
	}
	return b
}

// permuteIDs replaces the digits of hexadecimal ids by a permutation of them that
// differs for each copy.
func permuteIDs(s string, k int) string {
	if k == 0 {
		return s
	}
	const digits = "0123456789abcdef"
	isID := func(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '-' }
	var out []byte
	for i := 0; i < len(s); i++ {
		start := i
		for i < len(s) && isID(s[i]) {
			i++
		}
		if i-start < 16 {
			continue
		}
		if out == nil {
			out = []byte(s)
		}
		for x := start; x < i; x++ {
			if out[x] != '-' {
				out[x] = digits[(strings.IndexByte(digits, out[x])*(2*k+1)+k)&15]
			}
		}
	}
	if out == nil {
		return s
	}
	return string(out)
}

// permuteDigits replaces decimal digits by a permutation of them.
func permuteDigits(s string, k int) string {
	if k == 0 {
		return s
	}
	out := []byte(s)
	for i, c := range out {
		if c >= '0' && c <= '9' {
			out[i] = '0' + byte((int(c-'0')*[]int{1, 3, 7, 9}[k%4]+k)%10)
		}
	}
	return unsafeString(out)
}

type corpusReader struct {
	in  *bufio.Reader
	err error
}

func (r *corpusReader) uvarint() uint64 {
	v, err := binary.ReadUvarint(r.in)
	if err != nil && r.err == nil {
		r.err = err
	}
	return v
}

func (r *corpusReader) text() string {
	b := make([]byte, r.uvarint())
	if _, err := io.ReadFull(r.in, b); err != nil && r.err == nil {
		r.err = err
	}
	return unsafeString(b)
}

// labels reads the label sets and makes those of the copies.
func (r *corpusReader) labels(copies int) [][]labels.Labels {
	out := make([][]labels.Labels, copies)
	for range r.uvarint() {
		b := labels.NewScratchBuilder(8)
		for range r.uvarint() {
			name, value := r.text(), r.text()
			b.Add(name, value)
		}
		b.Sort()
		ls := b.Labels()
		for k := range copies {
			set := labels.NewBuilder(ls)
			if pod := ls.Get("pod"); pod != "" && k > 0 {
				set.Set("pod", pod[:len(pod)-2]+string("abcdefghijklmnop"[k])+"q")
			}
			out[k] = append(out[k], set.Labels())
		}
	}
	return out
}

func (r *corpusReader) row() (corpusRow, bool) {
	ts, err := binary.ReadVarint(r.in)
	if errors.Is(err, io.EOF) || r.err != nil {
		return corpusRow{}, false
	}
	return corpusRow{ts: ts, stream: int(r.uvarint()), line: r.text(), trace: r.text(), span: r.text()}, true
}
