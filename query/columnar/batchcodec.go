package columnar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/prometheus/model/labels"
)

// The batch encoding is the payload of a write-ahead record, and it is also how
// rows lie in the memory table: the table keeps the encoded bytes and for each
// row a timestamp and an offset. That makes a row in memory one 16-byte entry
// without pointers beside its text, and a batch is encoded once.
//
//	version   byte      1
//	table     byte
//	names     uint32    offset of the name dictionary
//	collector string    batch id; all three are empty for an unnamed batch
//	stream    string
//	sequence  uvarint
//	streams   uvarint   count, then for each
//	  cluster, namespace  string
//	  labels  uvarint     count, then name and value as strings
//	  rows    uvarint     count, then for each
//	    timestamp varint  difference to the row before, the first to 0
//	    line    string
//	    fields  uvarint   count, then for each
//	      name and type uvarint   index in the name dictionary << 3 | type
//	      value  string
//	names     uvarint   count, then strings
//
// A string is a uvarint length and its bytes; integers are little-endian.
const batchVersion = 1

// chunk is one encoded batch with an index of its rows.
type chunk struct {
	id      BatchID
	table   Table
	data    []byte
	names   []string // share data
	streams []chunkStream
	rows    int
	text    int64 // bytes of lines, field names and values
}

type chunkStream struct {
	tenant Tenant
	labels labels.Labels // may share the memory of an Append's caller
	rows   []memRow
}

// memRow points at a row's line in chunks[chunk].data[off:].
type memRow struct {
	ts    int64
	chunk uint32
	off   uint32
}

// nameIndex interns field names while one batch is encoded.
type nameIndex struct {
	refs  map[string]uint64
	names []string
}

var nameIndexes = sync.Pool{New: func() any { return &nameIndex{refs: map[string]uint64{}} }}

func (x *nameIndex) ref(name string) uint64 {
	r, ok := x.refs[name]
	if !ok {
		r = uint64(len(x.names))
		x.refs[name] = r
		x.names = append(x.names, name)
	}
	return r
}

func (x *nameIndex) release() {
	clear(x.refs)
	clear(x.names)
	x.names = x.names[:0]
	nameIndexes.Put(x)
}

// validateBatch refuses what could not be stored faithfully.
func validateBatch(b *Batch) error {
	if b.Table != Logs && b.Table != Spans {
		return fmt.Errorf("unknown table %d", b.Table)
	}
	if !b.ID.IsZero() && b.ID.Sequence == 0 {
		return fmt.Errorf("batch of %s/%s has sequence 0: sequences start at 1", b.ID.Collector, b.ID.Stream)
	}
	for i := range b.Streams {
		for j := range b.Streams[i].Rows {
			for _, f := range b.Streams[i].Rows[j].Fields {
				if f.Type > JSON {
					return fmt.Errorf("field %q has unknown type %d", f.Name, f.Type)
				}
			}
		}
	}
	return nil
}

// encodeBatch copies everything it keeps but the streams' labels.
func encodeBatch(b *Batch) *chunk {
	c := &chunk{id: b.ID, table: b.Table}
	names := nameIndexes.Get().(*nameIndex)
	defer names.release()

	total := 0
	for i := range b.Streams {
		total += len(b.Streams[i].Rows)
	}
	index := make([]memRow, 0, total)
	size := encodedSize(b)
	out := make([]byte, 0, size+size/64)
	out = append(out, batchVersion, byte(b.Table), 0, 0, 0, 0)
	out = appendString(out, b.ID.Collector)
	out = appendString(out, b.ID.Stream)
	out = binary.AppendUvarint(out, b.ID.Sequence)
	streams := 0
	for i := range b.Streams {
		if len(b.Streams[i].Rows) > 0 {
			streams++
		}
	}
	out = binary.AppendUvarint(out, uint64(streams))
	c.streams = make([]chunkStream, 0, streams)
	for i := range b.Streams {
		s := &b.Streams[i]
		if len(s.Rows) == 0 {
			continue
		}
		out = appendStreamHead(out, s.Tenant, s.Labels)
		out = binary.AppendUvarint(out, uint64(len(s.Rows)))
		first, prev := len(index), int64(0)
		for j := range s.Rows {
			r := &s.Rows[j]
			out = binary.AppendVarint(out, r.Timestamp-prev)
			prev = r.Timestamp
			index = append(index, memRow{ts: r.Timestamp, off: uint32(len(out))})
			out = appendString(out, r.Line)
			out = binary.AppendUvarint(out, uint64(len(r.Fields)))
			c.text += int64(len(r.Line))
			for _, f := range r.Fields {
				out = binary.AppendUvarint(out, names.ref(f.Name)<<3|uint64(f.Type))
				out = appendString(out, f.Value)
				c.text += int64(len(f.Name) + len(f.Value))
			}
		}
		c.streams = append(c.streams, chunkStream{tenant: s.Tenant, labels: s.Labels, rows: index[first:len(index):len(index)]})
	}
	c.rows = len(index)
	binary.LittleEndian.PutUint32(out[2:], uint32(len(out)))
	at := len(out)
	out = binary.AppendUvarint(out, uint64(len(names.names)))
	for _, n := range names.names {
		out = appendString(out, n)
	}
	c.data = out
	c.names = readNames(out[at:])
	return c
}

// encodedSize guesses the encoded size closely, so that the buffer that stays in
// memory carries little slack.
func encodedSize(b *Batch) int64 {
	n := int64(96)
	for i := range b.Streams {
		s := &b.Streams[i]
		n += 32
		s.Labels.Range(func(l labels.Label) { n += int64(len(l.Name) + len(l.Value) + 4) })
		for j := range s.Rows {
			r := &s.Rows[j]
			n += int64(len(r.Line)) + 10
			for k := range r.Fields {
				n += int64(len(r.Fields[k].Value)) + 3
			}
		}
	}
	return n
}

func appendStreamHead(out []byte, t Tenant, ls labels.Labels) []byte {
	out = appendString(out, t.Cluster)
	out = appendString(out, t.Namespace)
	out = binary.AppendUvarint(out, uint64(ls.Len()))
	ls.Range(func(l labels.Label) {
		out = appendString(out, l.Name)
		out = appendString(out, l.Value)
	})
	return out
}

func readStreamHead(d *decoder, sb *labels.ScratchBuilder) (Tenant, labels.Labels) {
	t := Tenant{Cluster: d.view(), Namespace: d.view()}
	sb.Reset()
	for range d.count(2) {
		name, value := d.view(), d.view()
		sb.Add(name, value)
	}
	if d.err != nil {
		return Tenant{}, labels.EmptyLabels()
	}
	sb.Sort()
	return t, sb.Labels()
}

func readNames(b []byte) []string {
	d := decoder{b: b}
	names := make([]string, d.count(1))
	for i := range names {
		names[i] = d.view()
	}
	if d.err != nil {
		return nil
	}
	return names
}

var errBatchVersion = errors.New("unknown batch version")

// decodeBatch indexes an encoded batch and checks all of it, so that later reads
// of single rows need no error path. The chunk keeps data.
func decodeBatch(data []byte) (*chunk, error) {
	d := &decoder{b: data}
	if v := d.byte(); d.err == nil && v > batchVersion {
		return nil, fmt.Errorf("batch of version %d: %w", v, ErrNewerFormat)
	} else if d.err == nil && v != batchVersion {
		return nil, fmt.Errorf("%w %d", errBatchVersion, v)
	}
	c := &chunk{data: data, table: Table(d.byte())}
	namesAt := int64(d.uint32())
	if d.err != nil || (c.table != Logs && c.table != Spans) {
		return nil, fmt.Errorf("decode batch: unknown table %d", c.table)
	}
	if namesAt < int64(d.off) || namesAt > int64(len(data)) {
		return nil, fmt.Errorf("decode batch: name dictionary: %w", errBadLength)
	}
	if c.names = readNames(data[namesAt:]); c.names == nil {
		return nil, fmt.Errorf("decode batch: name dictionary: %w", errTruncated)
	}
	d.b = data[:namesAt:namesAt]
	c.id = BatchID{Collector: d.view(), Stream: d.view(), Sequence: d.uvarint()}
	sb := labels.NewScratchBuilder(8)
	streams := d.count(4)
	for range streams {
		s := chunkStream{}
		s.tenant, s.labels = readStreamHead(d, &sb)
		s.rows = make([]memRow, d.count(3))
		prev := int64(0)
		for i := range s.rows {
			prev += d.varint()
			s.rows[i] = memRow{ts: prev, off: uint32(d.off)}
			c.skipRow(d)
		}
		if d.err != nil {
			return nil, fmt.Errorf("decode batch: %w", d.err)
		}
		c.rows += len(s.rows)
		c.streams = append(c.streams, s)
	}
	if d.err == nil && d.left() != 0 {
		d.err = errBadLength
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode batch: %w", d.err)
	}
	return c, nil
}

func (c *chunk) skipRow(d *decoder) {
	c.text += int64(len(d.view()))
	for range d.count(2) {
		ref := d.uvarint()
		value := d.view()
		if d.err != nil {
			return
		}
		if ref>>3 >= uint64(len(c.names)) || ValueType(ref&7) > JSON {
			d.fail(errBadLength)
			return
		}
		c.text += int64(len(c.names[ref>>3]) + len(value))
	}
}

// line reads the line of the row at off.
func (c *chunk) line(off uint32) string {
	d := decoder{b: c.data, off: int(off)}
	return d.view()
}

// appendFields appends the row's fields to dst; keep nil means all.
func (c *chunk) appendFields(dst []Field, off uint32, keep func(name string) bool) []Field {
	d := decoder{b: c.data, off: int(off)}
	d.view()
	for range d.count(2) {
		ref := d.uvarint()
		value := d.view()
		name := c.names[ref>>3]
		if keep == nil || keep(name) {
			dst = append(dst, Field{Name: name, Value: value, Type: ValueType(ref & 7)})
		}
	}
	return dst
}
