package columnar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar/shred"
)

// The fuzz targets feed every decoder of the store with bytes from a disk that
// lies. None may panic or ask for memory out of proportion; what decodes must
// encode to something that decodes to the same.

func fuzzBatch() *Batch {
	return &Batch{
		ID: BatchID{"collector", "logs", 7}, Table: Logs,
		Streams: []Stream{
			{Tenant: Tenant{"c", "n"}, Labels: labels.FromStrings("app", "a", "namespace", "n"), Rows: []Row{
				{Timestamp: 5, Line: "first", Fields: []Field{{"trace_id", "0123456789abcdef", String}, {"status", "200", Int}}},
				{Timestamp: -9, Line: ""},
			}},
			{Labels: labels.FromStrings("app", "b"), Rows: []Row{{Timestamp: 1 << 60, Line: "second", Fields: []Field{{"status", "x", String}, {"status", "y", JSON}}}}},
		},
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(encodeBatch(fuzzBatch()).data)
	f.Add(encodeBatch(&Batch{Table: Spans}).data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeBatch(data)
		if err != nil {
			return
		}
		b := Batch{ID: c.id, Table: c.table}
		for _, s := range c.streams {
			st := Stream{Tenant: s.tenant, Labels: s.labels}
			for _, r := range s.rows {
				st.Rows = append(st.Rows, Row{Timestamp: r.ts, Line: c.line(r.off), Fields: c.appendFields(nil, r.off, nil)})
			}
			b.Streams = append(b.Streams, st)
		}
		again, err := decodeBatch(encodeBatch(&b).data)
		if err != nil {
			t.Fatalf("encoded batch does not decode: %v", err)
		}
		if again.rows != c.rows || again.text != c.text || again.id != c.id {
			t.Fatalf("batch changed: %d rows of %d bytes, then %d of %d", c.rows, c.text, again.rows, again.text)
		}
	})
}

func fuzzSegment(records int) []byte {
	data := bytes.Clone(walFileMagic)
	for i := range records {
		at := len(data)
		data = appendWALRecord(data, time.UnixMilli(int64(i)), encodeBatch(fuzzBatch()).data)
		numberWALRecord(data[at:], uint64(i+1))
	}
	return data
}

func FuzzWALSegment(f *testing.F) {
	whole := fuzzSegment(3)
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add(whole[:3])
	f.Add(append(bytes.Clone(whole), make([]byte, 512)...))
	f.Add(append(bytes.Clone(whole[:50]), whole[60:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		good := int64(0)
		scan := newWALScan(0)
		scan.final = len(data)%2 == 0
		damages, err := scan.segment(data, func(r walRecord) error { good++; return nil })
		if err != nil && !errors.Is(err, ErrNewerFormat) {
			t.Fatalf("scan: %v", err)
		}
		lost := int64(0)
		for _, d := range damages {
			if d.length <= 0 || d.offset < 0 || d.offset+d.length > int64(len(data)) || d.err == nil {
				t.Fatalf("damage %+v of %d bytes", d, len(data))
			}
			lost += d.length
		}
		if lost+good*walRecordHeader > int64(len(data)) {
			t.Fatalf("%d records and %d damaged bytes in %d", good, lost, len(data))
		}
	})
}

func fuzzBlock(tb testing.TB) ([]byte, blockMeta, *blockCodec) {
	codec, err := newBlockCodec()
	if err != nil {
		tb.Fatal(err)
	}
	b := newBlockBuilder(codec.flush)
	for s := range uint32(2) {
		for i := range 50 {
			b.add(s, int64(i*1000), fmt.Sprintf("line %d of stream %d", i, s), []Field{
				{"trace_id", fmt.Sprintf("%032x", i), String}, {"status", fmt.Sprint(200 + i%3), Int}, {"const", "same", String},
				{fmt.Sprint("sparse", i%9), fmt.Sprint("value ", i), ValueType(i % 6)},
			})
		}
	}
	data, meta := b.encode(nil)
	return data, meta, codec
}

func FuzzBlockHeader(f *testing.F) {
	data, meta, _ := fuzzBlock(f)
	f.Add(data[:meta.header-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		// With a right checksum, so that the decoder behind it is reached.
		h, err := decodeBlockHeader(binaryAppendChecksum(body), 100)
		if err != nil {
			return
		}
		sum := 0
		for _, r := range h.runs {
			sum += r.rows
		}
		if sum != h.rows || h.line < 0 {
			t.Fatalf("header %+v", h)
		}
	})
}

func binaryAppendChecksum(b []byte) []byte {
	c := checksum(b)
	return append(bytes.Clone(b), byte(c), byte(c>>8), byte(c>>16), byte(c>>24))
}

func fuzzSections(tb testing.TB, data []byte, c *blockColumn, codec *blockCodec) shred.Sections {
	var out [pieceCount][]byte
	for i := range c.pieces {
		p := &c.pieces[i]
		if out[i] = p.inline; p.stored > 0 {
			var err error
			if out[i], err = codec.decompress(nil, data[p.offset:p.offset+int64(p.stored)], p.method, p.size); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return shred.Sections{Main: out[pieceMain], Indexes: out[pieceIndexes], IDs: out[pieceIDs], Text: out[pieceText]}
}

func FuzzColumn(f *testing.F) {
	data, meta, codec := fuzzBlock(f)
	h, err := decodeBlockHeader(data[:meta.header], 0)
	if err != nil {
		f.Fatal(err)
	}
	for i := range h.columns {
		s := fuzzSections(f, data, &h.columns[i], codec)
		f.Add(s.Main, s.Indexes, s.IDs, s.Text, h.rows)
	}
	f.Add([]byte("\x00\x03\x02\x00\x04\x00\x01same"), []byte{}, []byte{}, []byte{}, 2) // as version 1 wrote it
	enc := shred.NewEncoder()
	f.Fuzz(func(t *testing.T, main, indexes, ids, text []byte, rows int) {
		if rows < 1 || rows > 1<<16 {
			return
		}
		s := shred.Sections{Main: main, Indexes: indexes, IDs: ids, Text: text}
		if times, err := decodeTimes(nil, &s, rows, 7); err == nil && len(times) != rows {
			t.Fatalf("%d times for %d rows", len(times), rows)
		}
		if times, err := decodeTimesV1(nil, main, []blockRun{{0, rows / 2}, {1, rows - rows/2}}, 0); err == nil && len(times) != rows {
			t.Fatalf("%d times for %d rows", len(times), rows)
		}
		times := make([]int64, rows)
		var c column
		if c.open(&s, rows) != nil || c.load(times) != nil {
			return
		}
		if c.encoding == valuesLines && (len(c.refs) > 0 || c.prepare(nil, nil, times) != nil) {
			return
		}
		again := &columnBuffer{}
		for row := range uint32(rows) {
			lo, hi := c.of(row)
			for e := lo; e < hi; e++ {
				again.add(row, c.value(e), c.valueType(e))
			}
		}
		if len(again.rows) == 0 || len(again.text) > 1<<20 {
			return
		}
		var out shred.Sections
		again.encode(&out, times, enc)
		var back column
		if err := errors.Join(back.open(&out, rows), back.load(times)); err != nil {
			t.Fatalf("encoded column does not decode: %v", err)
		}
		for e := range back.entries {
			if back.value(e) != string(again.value(e)) || back.valueType(e) != ValueType(again.types[e]) {
				t.Fatalf("entry %d changed", e)
			}
		}
	})
}

func FuzzPartIndex(f *testing.F) {
	streams := []*stream{
		{tenant: Tenant{"c", "n"}, labels: labels.FromStrings("app", "a")},
		{labels: labels.FromStrings("app", "b", "pod", "p")},
	}
	runs := []runMeta{{least: 5, latest: 9, stream: 0, rows: 3}, {least: 1, latest: 20, stream: 1, rows: 4}}
	f.Add(appendPartIndex(nil, streams, &partIndex{
		blocks:   []blockMeta{{least: 1, latest: 20, header: 40, size: 100, raw: 300, runs: 2}},
		runs:     runs,
		sections: []section{{kind: 1, after: 1, size: 30}},
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		for version := 1; version <= partVersion; version++ {
			x, err := decodePartIndex(data, version)
			if err != nil {
				continue
			}
			last := uint32(0)
			for i, b := range x.blocks {
				for _, r := range x.runs[b.firstRun : b.firstRun+b.runs] {
					if int(r.stream) >= len(x.streams) || r.stream < last || int(r.block) != i {
						t.Fatalf("run %+v after stream %d in block %d, of %d streams", r, last, i, len(x.streams))
					}
					last = r.stream
				}
			}
		}
	})
}

func FuzzPartFooter(f *testing.F) {
	f.Add(partFooter{offset: 100, stored: 10, size: 20, crc: 7}.append(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		footer, err := decodePartFooter(data)
		if err == nil && !bytes.Equal(footer.append(nil)[:partFooterSize-12], data[:partFooterSize-12]) {
			t.Fatal("footer changed")
		}
	})
}

func FuzzManifest(f *testing.F) {
	m := manifest{LastRecord: 9, NextPart: 4, Parts: []partMeta{{ID: 3, Table: Logs, Day: mixedDays, Bytes: 100}}, Senders: []senderEntry{{"c", "logs", 5, 6}}}
	data, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(data[len(data)/2:])
	f.Fuzz(func(t *testing.T, data []byte) {
		m, _, err := decodeManifest(data)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, damaged, err := decodeManifest(again); err != nil || damaged != nil {
			t.Fatalf("encoded manifest does not decode: %v %v", err, damaged)
		}
	})
}

// FuzzBlock reads whole blocks as a query and a merge do, behind a header whose
// checksum is right.
func FuzzBlock(f *testing.F) {
	data, meta, codec := fuzzBlock(f)
	f.Add(data[:meta.header-4], data[meta.header:])
	f.Add(emptyPiece(f), data[meta.header:])
	path := filepath.Join(f.TempDir(), "part")
	file, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = file.Close() })
	p := &part{path: path, file: file}
	f.Fuzz(func(t *testing.T, body, data []byte) {
		header := binaryAppendChecksum(body)
		h, err := decodeBlockHeader(header, 0)
		if err != nil || h.rows > 1<<12 {
			return
		}
		if err := errors.Join(file.Truncate(0), writeAt(file, header, 0), writeAt(file, data, int64(len(header)))); err != nil {
			t.Fatal(err)
		}
		b := &blockMeta{header: uint32(len(header)), size: uint32(len(header) + len(data)), rows: uint32(h.rows), runs: uint32(len(h.runs))}
		r := &blockReader{}
		if r.load(p, b, codec) != nil {
			return
		}
		for i := 1; i < len(h.columns); i++ {
			col, err := r.column(i, codec)
			if err != nil {
				continue
			}
			if i == h.line {
				var text []byte
				for row := range h.rows {
					if col.passing(row, &text) != col.value(row) {
						t.Fatalf("row %d has two lines", row)
					}
				}
			}
			for row := range uint32(h.rows) {
				for e, end := col.of(row); i != h.line && e < end; e++ {
					_, _ = col.value(e), col.valueType(e)
				}
			}
		}
	})
}

func writeAt(file *os.File, data []byte, at int64) error {
	_, err := file.WriteAt(data, at)
	return err
}

// emptyPiece is a header, without checksum, whose timestamps are many bytes of which
// none is on disk.
func emptyPiece(tb testing.TB) []byte {
	b := append(bytes.Clone(blockMagic), 1, 0, 0, 1, 0, 1, 2) // one row of one stream, two columns
	b = append(b, columnTime, 1<<pieceMain, methodZstd)
	b = binary.AppendUvarint(b, 100)
	b = append(b, 0, 0, 0, 0, 0)                             // nothing stored, and its checksum
	b = append(b, columnLine, 1<<pieceMain, methodInline, 0) // no line
	return b
}

// A piece that has bytes and takes none on disk is damage, which a decoder must not
// be given.
func TestEmptyPieceIsDamage(t *testing.T) {
	_, err := decodeBlockHeader(binaryAppendChecksum(emptyPiece(t)), 0)
	if !errors.Is(err, errBadLength) {
		t.Fatalf("error %v, want %v", err, errBadLength)
	}
}

// A panic must not get out of the goroutine in which a block is decoded.
func TestPanicsAreErrors(t *testing.T) {
	err := parallel(t.Context(), 4, 8, func(_, task int) error {
		var none []byte
		_ = none[task]
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "index out of range") {
		t.Fatalf("error %v, want one that names the panic", err)
	}
	err = func() (err error) {
		r := &blockReader{part: &part{path: "x"}, meta: &blockMeta{offset: 7}}
		defer r.guard(&err)
		panic("of a decoder")
	}()
	if !errors.As(err, new(*damageError)) || !strings.Contains(err.Error(), "x at offset 7") {
		t.Fatalf("error %v, want damage of the block", err)
	}
}
