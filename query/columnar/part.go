package columnar

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// blockMeta is what is kept in memory of a block.
type blockMeta struct {
	offset        int64
	least, latest int64
	header        uint32 // bytes of the header
	size          uint32 // bytes of header and data
	raw           uint32 // uncompressed bytes of all columns
	rows          uint32
	firstRun      uint32 // in part.runs
	runs          uint32
	digits        uint8 // longest run of hexadecimal digits in the lines; unknownDigits: any
}

// runMeta is one stream's rows in one block.
type runMeta struct {
	least, latest int64
	text          int64  // bytes of the lines, or unknownText
	stream        uint32 // index in part.streams
	rows          uint32
	block         uint32 // index in part.blocks
}

// part is an open part. It is immutable but for the count of its users.
type part struct {
	partMeta
	path    string
	file    *os.File
	streams []*stream
	blocks  []blockMeta
	runs    []runMeta // by (stream, time)
	// sections are the indexes beside the blocks, in the order of the file.
	sections []section

	registry *registry
	retained atomic.Int64  // partMeta.RetainedFrom, which retention raises
	purged   atomic.Uint64 // partMeta.Purged, which deletion raises
	rules    []uint16      // the retention rule of each stream
	hidden   atomic.Pointer[hiddenRows]
	users    atomic.Int64
	obsolete atomic.Bool // remove the file when the last user is gone

	rest restPeriod // after rewrites that failed

	damageNamed atomic.Bool // a damaged section was logged
}

func (p *part) overlaps(from, to int64) bool { return p.Latest >= from && p.Least < to }

// visible reports whether the block counts, which retention may have ended.
func (p *part) visible(b *blockMeta) bool { return b.latest >= p.retained.Load() }

func (p *part) hold() { p.users.Add(1) }

func (p *part) release() {
	if p.users.Add(-1) > 0 {
		return
	}
	for _, s := range p.streams {
		p.registry.release(s)
	}
	// The file was only read: closing it cannot lose anything.
	_ = p.file.Close()
	if p.obsolete.Load() {
		// What cannot be removed now is removed as a leftover at the next start.
		_ = os.Remove(p.path)
	}
}

// current is the part's manifest entry as it is now.
func (p *part) current() partMeta {
	m := p.partMeta
	m.RetainedFrom, m.Purged = p.retained.Load(), p.purged.Load()
	return m
}

// eachStream calls fn for the streams with a run in [from, to).
func (p *part) eachStream(from, to int64, fn func(*stream)) {
	h := p.hidden.Load()
	for i := range p.blocks {
		b := &p.blocks[i]
		if b.latest < from || b.least >= to || !p.visible(b) {
			continue
		}
		for _, r := range p.runs[b.firstRun : b.firstRun+b.runs] {
			if r.latest >= max(from, h.floor(r.stream)) && r.least < to {
				fn(p.streams[r.stream])
			}
		}
	}
}

// openPart opens a listed part. damaged is the error of an index that could not
// be read when the other could.
func (s *Store) openPart(m partMeta) (p *part, damaged, err error) {
	path := s.partPath(m)
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open part: %w", err)
	}
	index, err := readPartIndex(file, s.codec, m.Bytes)
	if err != nil && !errors.Is(err, ErrNewerFormat) {
		damaged = err
		index, err = readPartIndex(file, s.codec, m.FirstIndexEnd)
	}
	if err != nil {
		return nil, damaged, errors.Join(fmt.Errorf("part %s: %w", path, err), file.Close())
	}
	p = &part{partMeta: m, path: path, file: file, registry: s.registry, blocks: index.blocks, runs: index.runs, sections: index.sections}
	p.streams = make([]*stream, len(index.streams))
	for i, ps := range index.streams {
		p.streams[i] = s.registry.hold(m.Table, ps.tenant, ps.labels)
	}
	p.retained.Store(m.RetainedFrom)
	p.purged.Store(m.Purged)
	p.admit(s.rules)
	p.noteTimes()
	p.hold()
	return p, damaged, nil
}

// admit finds the retention rule of each stream.
func (p *part) admit(rules []retentionRule) {
	p.rules = make([]uint16, len(p.streams))
	for i, st := range p.streams {
		p.rules[i] = ruleOf(rules, st)
	}
}

// noteTimes tells the streams of their newest rows.
func (p *part) noteTimes() {
	for i := range p.blocks {
		b := &p.blocks[i]
		if !p.visible(b) {
			continue
		}
		for _, r := range p.runs[b.firstRun : b.firstRun+b.runs] {
			p.streams[r.stream].noteTime(r.latest)
		}
	}
}

func (s *Store) partPath(m partMeta) string {
	return filepath.Join(s.partsDir(), m.fileName())
}

// sortParts keeps the order in which data arrived within each table.
func sortParts(parts []*part) {
	slices.SortFunc(parts, func(a, b *part) int {
		if a.Table != b.Table {
			return int(a.Table) - int(b.Table)
		}
		if a.Generation != b.Generation {
			if a.Generation < b.Generation {
				return -1
			}
			return 1
		}
		return int(a.ID) - int(b.ID)
	})
}
