package columnartest

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/yagura-dev/yagura/query/columnar"
)

// Oracle is an engine that keeps every row in a slice and answers by looking at
// all of them, as plainly as the contract reads. It is what other engines are
// compared with; nothing in it is shared with the store.
type Oracle struct {
	mu     sync.Mutex
	rows   []oracleRow
	newest map[[2]string]uint64
	closed bool

	deletions []columnar.Deletion
}

type oracleRow struct {
	table  columnar.Table
	tenant columnar.Tenant
	labels labels.Labels
	columnar.Row
}

var _ columnar.Engine = (*Oracle)(nil)

// NewOracle returns an empty oracle.
func NewOracle() *Oracle { return &Oracle{newest: map[[2]string]uint64{}} }

// Append implements columnar.Writer.
func (o *Oracle) Append(_ context.Context, b columnar.Batch) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return false, columnar.ErrClosed
	}
	if !b.ID.IsZero() {
		key := [2]string{b.ID.Collector, b.ID.Stream}
		if b.ID.Sequence <= o.newest[key] {
			return true, nil
		}
		o.newest[key] = b.ID.Sequence
	}
	for _, s := range b.Streams {
		for _, r := range s.Rows {
			r.Line = strings.Clone(r.Line)
			r.Fields = slices.Clone(r.Fields)
			for i := range r.Fields {
				r.Fields[i].Name = strings.Clone(r.Fields[i].Name)
				r.Fields[i].Value = strings.Clone(r.Fields[i].Value)
			}
			o.rows = append(o.rows, oracleRow{b.Table, s.Tenant, s.Labels.Copy(), r})
		}
	}
	return false, nil
}

// Retain implements columnar.Engine exactly, row by row.
func (o *Oracle) Retain(_ context.Context, before time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows = slices.DeleteFunc(o.rows, func(r oracleRow) bool { return r.Timestamp < before.UnixNano() })
	return nil
}

// Close implements columnar.Engine.
func (o *Oracle) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return nil
}

func (o *Oracle) matching(t columnar.Table, tenants []columnar.Tenant, from, to int64, ms []*labels.Matcher) []oracleRow {
	var out []oracleRow
	for _, r := range o.rows {
		if r.table != t || r.Timestamp < from || r.Timestamp >= to {
			continue
		}
		if len(tenants) > 0 && !slices.Contains(tenants, r.tenant) {
			continue
		}
		ok := true
		for _, m := range ms {
			ok = ok && m.Matches(r.labels.Get(m.Name))
		}
		if ok {
			out = append(out, r)
		}
	}
	return out
}

// Streams implements columnar.Reader.
func (o *Oracle) Streams(_ context.Context, t columnar.Table, tenants []columnar.Tenant, from, to int64, ms []*labels.Matcher) ([]labels.Labels, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []labels.Labels
	for _, r := range o.matching(t, tenants, from, to, ms) {
		out = append(out, r.labels)
	}
	slices.SortFunc(out, labels.Compare)
	return slices.CompactFunc(out, labels.Equal), nil
}

// NewestTimestamp implements columnar.Reader.
func (o *Oracle) NewestTimestamp(_ context.Context, t columnar.Table, tenants []columnar.Tenant, from int64, ms []*labels.Matcher) (int64, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	newest, found := int64(0), false
	for _, r := range o.matching(t, tenants, from, 1<<63-1, ms) {
		if !found || r.Timestamp > newest {
			newest, found = r.Timestamp, true
		}
	}
	return newest, found, nil
}

// Select implements columnar.Reader.
func (o *Oracle) Select(_ context.Context, q columnar.Query) (columnar.Cursor, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := o.matching(q.Table, q.Tenants, q.From, q.To, q.Matchers)
	kept := rows[:0:0]
	for _, r := range rows {
		ok, err := holds(&q, r.Row)
		if err != nil {
			return nil, err
		}
		if ok {
			kept = append(kept, r)
		}
	}
	slices.SortStableFunc(kept, func(a, b oracleRow) int {
		switch {
		case a.Timestamp < b.Timestamp:
			return -1
		case a.Timestamp > b.Timestamp:
			return 1
		}
		return 0
	})
	if q.Direction == columnar.Backward {
		slices.Reverse(kept)
	}
	if q.Limit > 0 && len(kept) > q.Limit {
		kept = kept[:q.Limit]
	}
	return &oracleCursor{query: q, rows: kept}, nil
}

// holds evaluates all predicates of the query on one row.
func holds(q *columnar.Query, r columnar.Row) (bool, error) {
	for _, p := range q.Lines {
		ok, err := holdsLine(p, r.Line)
		if err != nil || !ok {
			return false, err
		}
	}
	for _, p := range q.Fields {
		var values []string
		for _, f := range r.Fields {
			if f.Name == p.Name {
				values = append(values, f.Value)
			}
		}
		if values == nil {
			values = []string{""}
		}
		any := false
		for _, v := range values {
			ok, err := holdsField(p, v)
			if err != nil {
				return false, err
			}
			any = any || ok
		}
		if !any {
			return false, nil
		}
	}
	return true, nil
}

var expressions sync.Map

// compiled caches expressions, since they are evaluated row by row.
func compiled(text string) (*regexp.Regexp, error) {
	if re, ok := expressions.Load(text); ok {
		return re.(*regexp.Regexp), nil
	}
	re, err := regexp.Compile(text)
	if err == nil {
		expressions.Store(text, re)
	}
	return re, err
}

func holdsLine(p columnar.LinePredicate, line string) (bool, error) {
	switch p.Op {
	case columnar.Contains:
		return strings.Contains(line, p.Text), nil
	case columnar.NotContains:
		return !strings.Contains(line, p.Text), nil
	}
	re, err := compiled(p.Text)
	if err != nil {
		return false, err
	}
	return re.MatchString(line) == (p.Op == columnar.Matches), nil
}

func holdsField(p columnar.FieldPredicate, value string) (bool, error) {
	switch p.Op {
	case columnar.FieldEqual:
		return value == p.Text, nil
	case columnar.FieldNotEqual:
		return value != p.Text, nil
	case columnar.FieldMatches, columnar.FieldNotMatches:
		re, err := compiled("^(?s:" + p.Text + ")$")
		if err != nil {
			return false, err
		}
		return re.MatchString(value) == (p.Op == columnar.FieldMatches), nil
	}
	a, err1 := strconv.ParseFloat(value, 64)
	b, err2 := strconv.ParseFloat(p.Text, 64)
	if err1 != nil || err2 != nil {
		return false, nil
	}
	switch p.Op {
	case columnar.FieldLess:
		return a < b, nil
	case columnar.FieldLessOrEqual:
		return a <= b, nil
	case columnar.FieldGreater:
		return a > b, nil
	case columnar.FieldGreaterOrEqual:
		return a >= b, nil
	}
	return false, errors.New("unknown field operation")
}

type oracleCursor struct {
	query columnar.Query
	rows  []oracleRow
	stats columnar.Stats
}

func (c *oracleCursor) Applied() columnar.Applied {
	all := func(n int) []bool { return slices.Repeat([]bool{true}, n) }
	return columnar.Applied{Lines: all(len(c.query.Lines)), Fields: all(len(c.query.Fields))}
}

func (c *oracleCursor) Next(ctx context.Context) (*columnar.ColumnBatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(c.rows) == 0 {
		return nil, nil
	}
	n := min(len(c.rows), 100)
	b := &columnar.ColumnBatch{}
	for i, r := range c.rows[:n] {
		b.Streams = append(b.Streams, r.labels)
		b.StreamRefs = append(b.StreamRefs, uint32(i))
		b.Timestamps = append(b.Timestamps, r.Timestamp)
		b.Lines = append(b.Lines, r.Line)
		b.Fields = append(b.Fields, r.Row.Fields)
		if p := c.query.Captures; p != nil {
			addCaptures(p, b, r.Line)
		}
		c.stats.Rows++
		c.stats.Bytes += int64(len(r.Line))
		if m := c.query.Budget.MaxRows; m > 0 && c.stats.Rows > m {
			return nil, &columnar.BudgetError{Bound: "MaxRows", Limit: m}
		}
		if m := c.query.Budget.MaxBytes; m > 0 && c.stats.Bytes > m {
			return nil, &columnar.BudgetError{Bound: "MaxBytes", Limit: m}
		}
	}
	c.rows = c.rows[n:]
	return b, nil
}

func (c *oracleCursor) Stats() columnar.Stats { return c.stats }
func (c *oracleCursor) Close() error          { return nil }
