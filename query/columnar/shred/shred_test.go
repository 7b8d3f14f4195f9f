package shred

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// block is lines as a block has them.
type block struct {
	text  []byte
	ends  []uint32
	times []int64
	refs  []Ref
}

func (b *block) add(ts int64, line string, fields ...string) {
	for k, f := range fields {
		for len(b.refs) <= k {
			b.refs = append(b.refs, Ref{})
		}
		r := &b.refs[k]
		r.Text = append(r.Text, f...)
		r.Ends = append(r.Ends, uint32(len(r.Text)))
		r.Rows = append(r.Rows, uint32(len(b.ends)))
	}
	b.text = append(b.text, line...)
	b.ends = append(b.ends, uint32(len(b.text)))
	b.times = append(b.times, ts)
}

func (b *block) field(k, row int) string {
	r := &b.refs[k]
	for i, at := range r.Rows {
		if at == uint32(row) {
			start := uint32(0)
			if i > 0 {
				start = r.Ends[i-1]
			}
			return string(r.Text[start:r.Ends[i]])
		}
	}
	return ""
}

// roundTrip encodes the lines, requires that they come back, and returns how much
// they take, or nothing when they have no templates.
func (b *block) roundTrip(t testing.TB, e *Encoder) (Sections, bool) {
	t.Helper()
	var s Sections
	if !e.Lines(&s, b.text, b.ends, b.times, b.refs) {
		require.Empty(t, s.Main)
		return s, false
	}
	var l Lines
	require.NoError(t, l.Open(&s))
	require.NoError(t, l.Prepare(nil))
	require.Equal(t, len(b.ends), l.Rows())
	require.Equal(t, len(b.text), l.Size())
	start := uint32(0)
	var line []byte
	for row, end := range b.ends {
		line = l.Append(line[:0], row, b.times[row], b.field)
		if !bytes.Equal(b.text[start:end], line) {
			t.Fatalf("line %d: %q became %q", row, b.text[start:end], line)
		}
		start = end
	}
	return s, true
}

type noFields struct{}

func (noFields) Search(int, Condition) ([]bool, error) { return nil, nil }

// Search implements FieldSearch.
func (b *block) Search(k int, c Condition) ([]bool, error) {
	hits := make([]bool, len(b.ends))
	for row := range hits {
		hits[row] = c.Holds([]byte(b.field(k, row)))
	}
	return hits, nil
}

// find requires that Find knows exactly which lines contain the literal, and
// reports how many it could not tell without rebuilding them.
func (b *block) find(t testing.TB, s *Sections, literal string) (maybe int) {
	var l Lines
	require.NoError(t, l.Open(s))
	f, err := l.Find([]byte(literal), func(row int) (int64, error) { return b.times[row], nil }, b)
	require.NoError(t, err)
	none := f.None()
	start := uint32(0)
	for row, end := range b.ends {
		want := No
		if bytes.Contains(b.text[start:end], []byte(literal)) {
			want = Yes
		}
		got := No
		if !none {
			got = f.Row(uint32(row))
		}
		if got == Maybe {
			maybe++
		} else if got != want {
			t.Fatalf("%q in line %q: %d, want %d", literal, b.text[start:end], got, want)
		}
		start = end
	}
	return maybe
}

func (s *Sections) size() int { return len(s.Main) + len(s.Indexes) + len(s.IDs) + len(s.Text) }

func randomHex(r *rand.Rand, digits int) string {
	b := make([]byte, digits/2)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return hex.EncodeToString(b)
}

func uuid(r *rand.Rand) string {
	h := randomHex(r, 32)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// What the lines of real programs look like takes a few bytes a line, before any
// compression.
func TestLines(t *testing.T) {
	start := time.Date(2023, 1, 29, 16, 42, 9, 0, time.UTC)
	for _, c := range []struct {
		name string
		most int // bytes a line
		line func(r *rand.Rand, i int, at time.Time) (line string, fields []string)
	}{
		{"ids that are fields", 3, func(r *rand.Rand, i int, at time.Time) (string, []string) {
			trace, span := randomHex(r, 32), randomHex(r, 16)
			return fmt.Sprintf("%s INFO  o.s.OrderServiceImpl#365 TraceID: %s SpanID: %s [getOrderById]", at.Add(8*time.Hour).Format("15:04:05.000"), trace, span), []string{trace, span}
		}},
		{"uuid", 18, func(r *rand.Rand, i int, at time.Time) (string, []string) {
			return "order: " + uuid(r) + " is done", nil
		}},
		{"json", 9, func(r *rand.Rand, i int, at time.Time) (string, []string) {
			return fmt.Sprintf(`{"ts":"%s","level":"%s","caller":"main.go:%d","ok":%v,"n":%d,"msg":"it is \"%s\" again"}`,
				at.UTC().Format("2006-01-02T15:04:05.000000Z"), []string{"info", "warn"}[i%2], 10+i%3, i%5 == 0, r.IntN(1000), []string{"this", "that"}[i%2]), nil
		}},
		{"logfmt", 8, func(r *rand.Rand, i int, at time.Time) (string, []string) {
			return fmt.Sprintf(`time="%s" level=%s component=%s took=%dms user=user-%05d msg="a few words"`,
				at.Format("2006-01-02 15:04:05,000"), []string{"info", "debug"}[i%2], []string{"db", "cache"}[i%2], r.IntN(200), r.IntN(100000)), nil
		}},
		{"access log", 40, func(r *rand.Rand, i int, at time.Time) (string, []string) {
			return fmt.Sprintf(`10.1.2.%d - - [%s] "GET /a/%d HTTP/1.1" 200 %d "-" "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/%d.0"`,
				r.IntN(20), at.Format("02/Jan/2006:15:04:05 -0700"), r.IntN(50), r.IntN(1e6), 60+r.IntN(3)), nil
		}},
		{"numbers", 3, func(r *rand.Rand, i int, at time.Time) (string, []string) {
			return fmt.Sprintf("request %d took %04d", 1_000_000+i, r.IntN(9999)), nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var b block
			const rows = 2000
			for i := range rows {
				at := start.Add(time.Duration(i) * 137 * time.Millisecond)
				line, fields := c.line(r, i, at)
				b.add(at.UnixNano()+int64(r.IntN(1e6)), line, fields...)
			}
			s, ok := b.roundTrip(t, NewEncoder())
			require.True(t, ok)
			t.Logf("%.1f bytes a line instead of %.1f", float64(s.size())/rows, float64(len(b.text))/rows)
			require.LessOrEqual(t, s.size(), c.most*rows+1000)
			for range 200 {
				row := r.IntN(rows-1) + 1
				line := b.text[b.ends[row-1]:b.ends[row]]
				from := r.IntN(len(line))
				literal := string(line[from : from+1+r.IntN(min(40, len(line)-from))])
				require.Zero(t, b.find(t, &s, literal))
				require.Zero(t, b.find(t, &s, literal[:len(literal)/2]+"x"+literal[len(literal)/2:]))
			}
		})
	}
}

// Whatever lines hold, they come back.
func TestLinesOfAnyKind(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	e := NewEncoder()
	pieces := []string{
		"", " ", "word", "12", "007", "18446744073709551615", "-5", "1.5ms", `"`, `"quoted 1"`, `"key":`, `"a\"b"`, `\`, "=", "=x", ":", "12:34:56",
		"12:34:56.789", "25:61:61", "2023-01-29T12:34:56.789Z", "2023-02-31T12:34:56Z", "0493e2752438fbbe19f9cc7efe9aaaa9", "0493E2752438FBBE", "882624ccb9c39604",
		"a994ac1b-af0a-4f0a-8f0a-0123456789ab", "\x00", "\x10", "\x11", "\x1f", "\xff\xfe", "日本語", "�", "\t", "{", "}", "[", "]", strings.Repeat("x", 300), strings.Repeat("long 1 ", 200),
		strings.Repeat("static text ", 200), "a=b", "user-00012", `{"a":{"b":[1,2,{"c":true}]}}`,
	}
	for range 300 {
		var b block
		shapes := make([]string, 1+r.IntN(4))
		for i := range shapes {
			for range r.IntN(12) {
				shapes[i] += pieces[r.IntN(len(pieces))]
			}
		}
		for range 1 + r.IntN(40) {
			line := shapes[r.IntN(len(shapes))]
			for range r.IntN(3) {
				at := r.IntN(len(line) + 1)
				line = line[:at] + pieces[r.IntN(len(pieces))] + line[at:]
			}
			var fields []string
			if r.IntN(4) > 0 {
				fields = []string{"0493e2752438fbbe19f9cc7efe9aaaa9", []string{"882624ccb9c39604", ""}[r.IntN(2)]}
			}
			b.add(int64(r.Uint64()), line, fields...)
		}
		s, ok := b.roundTrip(t, e)
		if !ok {
			continue
		}
		for range 50 {
			from := r.IntN(len(b.text))
			literal := b.text[from : from+min(1+r.IntN(30), len(b.text)-from)]
			b.find(t, &s, string(literal))
		}
	}
}

func TestLinesLargeAndEmpty(t *testing.T) {
	e := NewEncoder()
	var b block
	for i := range 20 {
		b.add(int64(i), strings.Repeat("x", 1<<20))
		b.add(int64(i), "")
		b.add(int64(i), fmt.Sprint("line ", i))
		b.add(int64(i), "n "+strings.Repeat("7 ", 1<<18))
	}
	b.roundTrip(t, e)
	b = block{}
	for range 10 {
		b.add(5, "")
	}
	b.roundTrip(t, e)
}

func TestClock(t *testing.T) {
	for days := int64(-1_000_000); days < 1_000_000; days += 997 {
		y, m, d := dateOf(days)
		require.Equal(t, days, daysOf(y, m, d))
		want := time.Unix(days*secondsPerDay, 0).UTC()
		require.Equal(t, [3]int64{int64(want.Year()), int64(want.Month()), int64(want.Day())}, [3]int64{y, m, d})
	}
}

func TestNumbers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	e := NewEncoder()
	for name, make := range map[string]func(i int) int64{
		"equal":   func(int) int64 { return -7 },
		"count":   func(i int) int64 { return int64(i) * 1000 },
		"random":  func(int) int64 { return int64(r.Uint64()) },
		"small":   func(int) int64 { return int64(r.IntN(100)) - 50 },
		"extreme": func(i int) int64 { return []int64{math.MinInt64, math.MaxInt64, 0, -1}[i%4] },
		"steps":   func(i int) int64 { return int64(i)*1e9 + int64(r.IntN(1e6)) },
		"falling": func(i int) int64 { return math.MinInt64 + int64(5000-i) },
	} {
		for _, n := range []int{1, 2, 3, 700, 5000} {
			values := []int64{}
			for i := range n {
				values = append(values, make(i))
			}
			var s Sections
			e.Numbers(&s, values)
			got, err := DecodeNumbers(nil, &s, n)
			require.NoError(t, err)
			require.Equal(t, values, got, name)
		}
	}
}

// A flipped byte is an error or other text, never a panic.
func TestDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var b block
	for i := range 200 {
		id := randomHex(r, 16)
		b.add(int64(i)*1e9, fmt.Sprintf("00:00:%02d id %s %s n %d w%d %s x=%s", i%60, id, uuid(r), r.IntN(1e6), i%7, randomHex(r, 8+i%9), []string{"a", "b"}[i%2]), id)
	}
	var s Sections
	require.True(t, NewEncoder().Lines(&s, b.text, b.ends, b.times, b.refs))
	var l Lines
	for _, section := range []*[]byte{&s.Main, &s.Indexes, &s.IDs, &s.Text} {
		whole := bytes.Clone(*section)
		for i := range whole {
			*section = bytes.Clone(whole)
			(*section)[i] ^= byte(1 + r.IntN(255))
			b.read(&l, &s)
			*section = whole[:i]
			b.read(&l, &s)
		}
		*section = whole
	}
}

// read decodes and rebuilds what may be damaged.
func (b *block) read(l *Lines, s *Sections) {
	if l.Open(s) != nil {
		return
	}
	for _, literal := range []string{"a", "1", "0493e2752438fbb", "id 0", ":00"} {
		_, _ = l.Find([]byte(literal), func(int) (int64, error) { return 0, nil }, noFields{})
	}
	rows := make([]uint32, l.Rows())
	for row := range rows {
		rows[row] = uint32(row)
	}
	for _, until := range []string{" ", "z", "id "} {
		p := Pattern{Captures: []Capture{{Until: []byte(until), Want: true}, {Until: []byte(until)}, {Want: true}}}
		_, _ = l.Capture(&p, rows, make([]int64, len(rows)), &Captured{}, nil)
	}
	if l.Prepare(nil) != nil {
		return
	}
	var line []byte
	for row := range l.Rows() {
		line = l.Append(line[:0], row, 0, func(int, int) string { return "" })
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a 1\na 2\na 3\n"), int64(0))
	f.Add([]byte("{\"a\":\"b\",\"c\":1}\n{\"a\":\"d\",\"c\":2}\n{\"a\":\"\",\"c\":true}"), int64(1e18))
	f.Add([]byte("00:00:01.5 x=0493e2752438fbbe\n00:00:02.5 x=0493e2752438fbbf\n00:00:02.5 x=0493e2752438fbbf\n"), int64(-5))
	f.Add([]byte("\x10\n\x11\n\x1f\n\xff\xff\n\x00"), int64(1))
	e := NewEncoder()
	f.Fuzz(func(t *testing.T, text []byte, ts int64) {
		var b block
		for i, line := range bytes.Split(text, []byte("\n")) {
			b.add(ts+int64(i)*1e9, string(line), "0493e2752438fbbe")
		}
		s, ok := b.roundTrip(t, e)
		if !ok {
			return
		}
		for from := 0; from < len(text); from += 1 + len(text)/16 {
			for _, n := range []int{1, 3, 9, 20} {
				if from+n <= len(text) {
					b.find(t, &s, string(text[from:from+n]))
				}
			}
		}
	})
}

func FuzzDecodeLines(f *testing.F) {
	var b block
	for i := range 9 {
		b.add(int64(i)*1e9, fmt.Sprintf("00:00:%02d id 0493e2752438fbb%d n %d %s", i, i, i*i*7919, strings.Repeat("z", i)), "882624ccb9c39604")
	}
	var s Sections
	NewEncoder().Lines(&s, b.text, b.ends, b.times, b.refs)
	f.Add(s.Main, s.Indexes, s.IDs, s.Text)
	var l Lines
	f.Fuzz(func(t *testing.T, main, indexes, ids, text []byte) {
		if len(main)+len(indexes) > 1<<16 {
			return
		}
		b.read(&l, &Sections{Main: main, Indexes: indexes, IDs: ids, Text: text})
	})
}

func FuzzValues(f *testing.F) {
	f.Add([]byte("a\x01b\x02"), 2, int64(0))
	f.Fuzz(func(t *testing.T, text []byte, width int, ts int64) {
		if width < 1 || len(text) == 0 {
			return
		}
		var ends []uint32
		var times []int64
		for at := 0; at < len(text); {
			at = min(at+width, len(text))
			ends = append(ends, uint32(at))
			times = append(times, ts)
		}
		var s Sections
		NewEncoder().Values(&s, text, ends, times)
		var v Values
		if err := errors.Join(v.Open(&s, len(ends)), v.Load()); err != nil {
			t.Fatal(err)
		}
		var out []byte
		for i := range ends {
			out = v.Append(out, i, ts)
		}
		if !bytes.Equal(out, text) {
			t.Fatalf("%q became %q", text, out)
		}
	})
}
