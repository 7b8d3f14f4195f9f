package shred

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchBlock is about 1 MB of lines such as services write, with ids that are fields,
// and of an access log.
func benchBlock() *block {
	r := rand.New(rand.NewPCG(9, 10))
	var b block
	span, trace := randomHex(r, 16), randomHex(r, 32)
	for i := range 5000 {
		if i%5 == 0 {
			span = randomHex(r, 16)
		}
		if i%50 == 0 {
			trace = randomHex(r, 32)
		}
		line := fmt.Sprintf("16:%02d:%02d.%03d INFO  o.s.OrderServiceImpl#%d TraceID: %s SpanID: %s [getOrderById][Get Order By Id][OrderId: %s, status=%d]",
			i/600, i/10%60, r.IntN(1000), 100+i%7, trace, span, uuid(r), r.IntN(5))
		if i%2 == 0 {
			line = fmt.Sprintf(`10.1.%d.%d - - [26/Jan/2019:19:%02d:25 +0330] "GET /image/%d/brand HTTP/1.1" 200 %d "https://example.org/filter/%d" "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:%d.0) Gecko/20100101"`,
				i%9, i%200, i/600, r.IntN(70000), r.IntN(1<<16), r.IntN(300), 50+i%20)
		}
		b.add(int64(i)*1e8, line, trace, span)
	}
	return &b
}

func BenchmarkEncode(b *testing.B) {
	lines := benchBlock()
	e := NewEncoder()
	var s Sections
	b.SetBytes(int64(len(lines.text)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset()
		e.Lines(&s, lines.text, lines.ends, lines.times, lines.refs)
	}
	b.ReportMetric(float64(s.size())/float64(len(lines.ends)), "B/line")
}

func BenchmarkDecode(b *testing.B) {
	lines := benchBlock()
	var s Sections
	NewEncoder().Lines(&s, lines.text, lines.ends, lines.times, lines.refs)
	var l Lines
	var out []byte
	field := func(k, row int) string {
		size := uint32([]int{32, 16}[k])
		end := lines.refs[k].Ends[row]
		return viewString(lines.refs[k].Text[end-size : end])
	}
	b.SetBytes(int64(len(lines.text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Open(&s); err != nil {
			b.Fatal(err)
		}
		if err := l.Prepare(nil); err != nil {
			b.Fatal(err)
		}
		out = out[:0]
		for row := range l.Rows() {
			out = l.Append(out, row, lines.times[row], field)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	lines := benchBlock()
	var s Sections
	NewEncoder().Lines(&s, lines.text, lines.ends, lines.times, lines.refs)
	for _, q := range []struct{ name, literal string }{
		{"Absent", "no such text"}, {"StaticText", "OrderServiceImpl"}, {"PieceOfID", "da74a0f87"}, {"Status", "status=3]"}, {"Number", " 200 5"},
	} {
		b.Run(q.name, func(b *testing.B) {
			var l Lines
			b.SetBytes(int64(len(lines.text)))
			for b.Loop() {
				if err := l.Open(&s); err != nil {
					b.Fatal(err)
				}
				if _, err := l.Find([]byte(q.literal), func(row int) (int64, error) { return lines.times[row], nil }, noFields{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
