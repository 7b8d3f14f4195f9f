package columnar

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// FieldNames implements Catalog. Parts answer from their rollups, memory tables row
// by row.
func (s *Store) FieldNames(ctx context.Context, q CatalogQuery) ([]FieldName, error) {
	names, room := map[string]*catalogName{}, s.cfg.QueryMemoryBytes
	err := s.eachName(ctx, q, "", func(name string) *catalogName {
		n := names[name]
		if n == nil {
			n = newCatalogName(name, &room)
			names[strings.Clone(name)] = n
		}
		return n
	})
	if err != nil {
		return nil, fmt.Errorf("field names: %w", err)
	}
	out := make([]FieldName, 0, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, names[name].describe(name))
	}
	return out, nil
}

// FieldValues implements Catalog. Values of names that have nearly as many of them
// as rows are left out, and then there are more.
func (s *Store) FieldValues(ctx context.Context, q CatalogQuery, name string, limit int) ([]FieldValue, bool, error) {
	room := s.cfg.QueryMemoryBytes
	found := newCatalogName(name, &room)
	err := s.eachName(ctx, q, name, func(string) *catalogName { return found })
	if err != nil {
		return nil, false, fmt.Errorf("field values: %w", err)
	}
	out := make([]FieldValue, 0, len(found.values))
	for v, n := range found.values {
		out = append(out, FieldValue{Value: v.Value, Type: v.Type, Rows: *n})
	}
	slices.SortFunc(out, func(a, b FieldValue) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Type, b.Type))
	})
	more := found.unlisted > 0
	if limit > 0 && len(out) > limit {
		out, more = out[:limit], true
	}
	return out, more, nil
}

const (
	// maxCatalogValues bounds the values that are listed of one name, in one answer:
	// names of which every row has another value fill no memory.
	maxCatalogValues = 16 << 10
	// catalogValueBytes is about what a listed value costs beside its text.
	catalogValueBytes = 96
)

// catalogName is what is known of a name.
type catalogName struct {
	hash   uint64 // of the name
	room   *int64 // bytes left for values, of all names together
	rows   int64
	types  byte
	values map[FieldValue]*int64 // rows of the listed values
	// Of values that are not listed: how many there are in all blocks together, and
	// how many different ones.
	unlisted int64
	sketch   sketch
}

func newCatalogName(name string, room *int64) *catalogName {
	return &catalogName{hash: nameHash(name), room: room, values: map[FieldValue]*int64{}}
}

// add counts a value, whose text may be a view. Assigning to a map replaces even a
// key that is there, so only a new one is assigned. Once there is no room for
// another one there never is again, so that those that are listed count in full.
func (n *catalogName) add(v FieldValue, rows int64) {
	count := n.values[v]
	if count == nil {
		size := int64(len(v.Value)) + catalogValueBytes
		if *n.room < size {
			*n.room = 0
		}
		if len(n.values) >= maxCatalogValues || *n.room == 0 {
			n.unlisted++
			n.sketch.add(mixHash(valueHash(n.hash, v.Value)))
			return
		}
		*n.room -= size
		count = new(int64)
		v.Value = strings.Clone(v.Value)
		n.values[v] = count
	}
	*count += rows
}

func (n *catalogName) describe(name string) FieldName {
	f := FieldName{Name: name, Rows: n.rows}
	for t := String; t <= JSON; t++ {
		if n.types>>t&1 != 0 {
			f.Types = append(f.Types, t)
		}
	}
	texts := make(map[string]struct{}, len(n.values))
	for v := range n.values {
		texts[v.Value] = struct{}{}
	}
	f.Distinct = int64(len(texts))
	if n.unlisted > 0 {
		// Some values may be listed for one block and not for another.
		all := n.sketch
		for text := range texts {
			all.add(mixHash(valueHash(n.hash, text)))
		}
		f.Distinct = max(f.Distinct, min(f.Distinct+n.unlisted, all.estimate()))
	}
	return f
}

// eachName finds what the selection holds of the name, or of all names if it is
// empty, and adds it to what of returns.
func (s *Store) eachName(ctx context.Context, q CatalogQuery, name string, of func(name string) *catalogName) error {
	sel, err := s.newSelection(ctx, Query{Table: q.Table, Tenants: q.Tenants, From: q.From, To: q.To, Matchers: q.Matchers})
	if err != nil {
		return err
	}
	sel.hold()
	defer sel.close()
	c := cataloging{selection: sel, name: name, of: of}
	for _, p := range sel.parts {
		if err := c.addPart(ctx, p); err != nil {
			return err
		}
	}
	if c.reader != nil {
		c.reader.recycle()
	}
	for _, m := range sel.mems {
		for _, run := range m.snapshot(sel.streams, sel.from, sel.to) {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.addMemory(run)
		}
	}
	return nil
}

// cataloging is one call of eachName.
type cataloging struct {
	*selection
	name   string // empty: all
	of     func(name string) *catalogName
	reader *blockReader
}

func (c *cataloging) wants(name string) bool { return c.name == "" || c.name == name }

// addPart adds what the rollups of the part say about the blocks of the selection,
// and reads the blocks without a rollup. Blocks of which nothing counts are left out;
// of those of which rows are hidden, the rollup still counts all. To read them instead
// would take, from a deletion until it is carried out, as long as to read the table.
func (c *cataloging) addPart(ctx context.Context, p *part) error {
	set, hidden := newBlockSet(len(p.blocks)), c.hidden[p]
	c.blocks(p, func(b blockRange) {
		if slices.ContainsFunc(b.runs, func(r runRef) bool { return !hidden.hidesRun(r.runMeta) }) {
			set.add(int(b.runs[0].block))
		}
	})
	first := 0
	for i := range p.sections {
		if p.sections[i].kind != sectionRollup {
			continue
		}
		end := int(p.sections[i].after)
		if set.any(first, end) {
			r, err := c.store.rollup(p, i)
			if err != nil {
				c.store.indexDamaged(p, err)
				if err := c.readBlocks(ctx, p, set, first, end); err != nil {
					return err
				}
			} else {
				c.addRollup(r, set, first)
			}
		}
		first = end
	}
	return c.readBlocks(ctx, p, set, first, len(p.blocks))
}

func (c *cataloging) addRollup(r *rollup, set blockSet, first int) {
	if c.name != "" {
		if n := r.names[c.name]; n != nil {
			c.addName(c.name, n, set, first)
		}
		return
	}
	for name, n := range r.names {
		c.addName(name, n, set, first)
	}
}

func (c *cataloging) addName(name string, n *rollupName, set blockSet, first int) {
	var to *catalogName
	times := make([]int64, len(n.values))
	for i := range n.blocks {
		b := &n.blocks[i]
		at := first + int(b.block)
		if at/64 >= len(set) || !set.has(at) {
			continue
		}
		if to == nil {
			to = c.of(name)
		}
		to.rows += int64(b.rows)
		to.types |= b.about & (rollupRange - 1)
		if b.about&rollupListed == 0 {
			to.unlisted += int64(b.distinct)
			continue
		}
		for _, l := range b.listed {
			times[l.value] += int64(l.times)
		}
	}
	if to == nil {
		return
	}
	for i, t := range times {
		if t > 0 {
			to.add(n.values[i], t)
		}
	}
	if n.sketch != nil {
		to.sketch.merge(n.sketch)
	}
}

// readBlocks decodes the blocks of the set in [from, to).
func (c *cataloging) readBlocks(ctx context.Context, p *part, set blockSet, from, to int) error {
	for i := from; i < to; i++ {
		if !set.has(i) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.reader == nil {
			c.reader = takeReader()
		}
		err := c.readBlock(p, &p.blocks[i])
		var damage *damageError
		if errors.As(err, &damage) {
			c.lost(&p.blocks[i], err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *cataloging) readBlock(p *part, b *blockMeta) (err error) {
	r := c.reader
	defer r.guard(&err)
	if err := r.load(p, b, c.store.codec); err != nil {
		return err
	}
	selected, _ := c.selectTime(p, r)
	selected, err = c.dropHidden(p, r, selected)
	if err != nil {
		return err
	}
	for i := range r.header.columns {
		h := &r.header.columns[i]
		if h.kind != columnField || !c.wants(h.name) {
			continue
		}
		col, err := r.column(i, c.store.codec)
		if err != nil {
			return err
		}
		var to *catalogName
		for _, row := range selected {
			lo, hi := col.of(row)
			if lo == hi {
				continue
			}
			if to == nil {
				to = c.of(h.name)
			}
			to.rows++
			for e := lo; e < hi; e++ {
				to.types |= 1 << col.valueType(e)
				to.add(FieldValue{Value: col.value(e), Type: col.valueType(e)}, 1)
			}
		}
	}
	return nil
}

// addMemory adds the rows of a memory table.
func (c *cataloging) addMemory(run memRun) {
	var fields []Field
	keep := c.wants
	if c.name == "" {
		keep = nil
	}
	seen := map[string]int{} // the last row with the name
	for i, row := range run.rows {
		fields = run.chunks[row.chunk].appendFields(fields[:0], row.off, keep)
		for _, f := range fields {
			n := c.of(f.Name)
			if at, ok := seen[f.Name]; !ok || at != i {
				seen[f.Name] = i
				n.rows++
			}
			n.types |= 1 << f.Type
			n.add(FieldValue{Value: f.Value, Type: f.Type}, 1)
		}
	}
}
