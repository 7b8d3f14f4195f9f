package columnar

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Table says which kind of row a store call is about. Logs and spans share one
// engine, one write-ahead log and one set of filters; they never share a block.
type Table uint8

// The tables.
const (
	Logs Table = iota + 1
	Spans
)

// Tenant is who a row belongs to: the cluster and namespace labels of its
// stream, either of which may be empty. It is in every call so that a later
// engine can partition, limit and authorize by it.
type Tenant struct {
	Cluster   string
	Namespace string
}

// ValueType is the type a field's value had before it became text.
type ValueType uint8

// The value types. Text is canonical: Int is decimal, Float is strconv 'g' with
// precision -1 (NaN, +Inf and -Inf spelled so), Bool is true or false, Bytes is
// standard base64, JSON is an OTLP AnyValue array or key-value list as JSON.
const (
	String ValueType = iota
	Int
	Float
	Bool
	Bytes
	JSON
)

// Field is one named value of a row: structured metadata of a log line, or a
// column of a span. A row may hold the same name twice. A store keeps every
// field but not the order of a row's names: only values of the same name come
// back in the order they were given.
type Field struct {
	Name  string
	Value string
	Type  ValueType
}

// Row is one log line or one span.
type Row struct {
	Timestamp int64 // Unix nanoseconds; a span's start
	Line      string
	Fields    []Field
}

// Stream is the rows of one label set. Rows need not be sorted.
type Stream struct {
	Tenant Tenant
	Labels labels.Labels
	Rows   []Row
}

// BatchID names a batch so that a repeat of it is stored once. Sequence grows by
// one within (Collector, Stream), starting at 1. The zero BatchID means that the
// sender does not name its batches; such a batch is always stored.
type BatchID struct {
	Collector string
	Stream    string
	Sequence  uint64
}

// IsZero reports whether the batch is unnamed.
func (id BatchID) IsZero() bool { return id == BatchID{} }

// Batch is what one Append makes durable, as a whole or not at all.
type Batch struct {
	ID      BatchID
	Table   Table
	Streams []Stream
}

// Writer takes batches in. Implementations MUST be safe for concurrent use.
type Writer interface {
	// Append stores the batch and its id in one write-ahead record. When it
	// returns nil the batch survives a crash of the process. A named batch whose
	// sequence is not above the highest stored one of its (Collector, Stream) is a
	// repeat: Append returns duplicate == true and stores nothing. Out-of-order
	// timestamps are accepted. It returns ErrFull when the disk or a configured
	// bound refuses the batch; nothing of it is stored then. The batch's memory
	// MUST NOT be retained after Append returns.
	Append(ctx context.Context, b Batch) (duplicate bool, err error)
}

// LineOp is how a line predicate compares.
type LineOp uint8

// The line comparisons. Contains is a plain substring; Matches is an RE2
// expression found anywhere in the line; both are case-sensitive unless the
// expression says otherwise.
const (
	Contains LineOp = iota + 1
	NotContains
	Matches
	NotMatches
)

// LinePredicate restricts rows by their line.
type LinePredicate struct {
	Op   LineOp
	Text string
}

// FieldOp is how a field predicate compares.
type FieldOp uint8

// The field comparisons. Regular expressions are anchored at both ends, as
// Prometheus matchers are. The numeric comparisons parse both sides as float64
// and do not hold when the field is no number. FieldNotEqual and FieldNotMatches
// hold for rows that lack the field, unless the text is (or matches) the empty
// string; the others treat a missing field as the empty string.
const (
	FieldEqual FieldOp = iota + 1
	FieldNotEqual
	FieldMatches
	FieldNotMatches
	FieldLess
	FieldLessOrEqual
	FieldGreater
	FieldGreaterOrEqual
)

// FieldPredicate restricts rows by one field. When a row holds the name more
// than once the predicate holds if it holds for any of the values.
type FieldPredicate struct {
	Name string
	Op   FieldOp
	Text string
}

// Direction is the order of the answer by timestamp.
type Direction uint8

// The directions. Rows with equal timestamps come in unspecified but stable order.
const (
	Forward Direction = iota
	Backward
)

// Columns says what the caller wants of each row beside its timestamp and
// stream. A store MAY deliver more, MUST NOT deliver less.
type Columns struct {
	Line      bool
	AllFields bool
	Fields    []string // names, when AllFields is false
}

// MaxCaptures bounds the captures of a LinePattern.
const MaxCaptures = 255

// LinePattern says which pieces of a line are wanted: an exact way to read a few
// values of each line for stores that can tell them without the line.
//
// A line that is empty or does not begin with Prefix has no captures. In any other
// the first capture begins behind Prefix, and each one ends before the first
// occurrence of its Until, behind which the next one begins. A capture that no such
// occurrence follows is the rest of the line, and the last one that the line has.
type LinePattern struct {
	Prefix   string
	Captures []LineCapture // at most MaxCaptures
}

// LineCapture is one of a LinePattern.
type LineCapture struct {
	Until string // empty only for the last one, which then is the rest of the line
	Want  bool
}

// Budget bounds what one query may cost. Zero means unbounded. Hitting one of
// them ends the query with a *BudgetError that names it.
type Budget struct {
	MaxBytes   int64 // uncompressed bytes decoded
	MaxRows    int64 // rows decoded
	MaxStreams int64 // streams matched
}

// Query is a selection of rows.
type Query struct {
	Table Table
	// Tenants restricts the answer; empty means all.
	Tenants []Tenant
	// From is inclusive, To is exclusive, both Unix nanoseconds.
	From, To int64
	Matchers []*labels.Matcher
	// All predicates must hold (conjunction).
	Lines  []LinePredicate
	Fields []FieldPredicate

	Columns Columns
	// Captures asks for pieces of each row's line; nil for none.
	Captures  *LinePattern
	Direction Direction
	// Limit is the most rows that the caller will read; 0 means all. A store may
	// use it only when it evaluates every predicate of the query itself, and then
	// it MUST return the first Limit rows in Direction.
	Limit  int
	Budget Budget
}

// Applied says which predicates of a query the store has evaluated itself. The
// caller MUST evaluate the others; re-evaluating an applied one is harmless.
// Stream matchers, tenants and the time range are always applied exactly.
type Applied struct {
	Lines  []bool // by index in Query.Lines
	Fields []bool // by index in Query.Fields
}

// All reports whether nothing is left for the caller to evaluate.
func (a Applied) All() bool {
	for _, ok := range a.Lines {
		if !ok {
			return false
		}
	}
	for _, ok := range a.Fields {
		if !ok {
			return false
		}
	}
	return true
}

// ColumnBatch is a run of rows, column by column. Every slice by row that is not
// nil has Len entries. A batch is valid until the next call of Cursor.Next.
type ColumnBatch struct {
	// Streams holds the label sets that StreamRefs index into.
	Streams    []labels.Labels
	StreamRefs []uint32
	Timestamps []int64
	Lines      []string
	Fields     [][]Field
	// CaptureCounts says how many of the wanted captures each row has, the first ones
	// of the pattern. Captures has the values, by wanted capture and then by row;
	// those that a row lacks are empty.
	CaptureCounts []uint8
	Captures      [][]string
}

// Len is the number of rows.
func (b *ColumnBatch) Len() int { return len(b.Timestamps) }

// Stats says what a query cost.
type Stats struct {
	BlocksTotal   int64 // blocks of the matching streams and time range
	BlocksSkipped int64 // of these, never decoded
	// BlocksLost failed their checksum: their rows are missing from the answer. A part
	// that cannot be opened counts as one, if its time range is asked for.
	BlocksLost      int64
	Bytes           int64 // uncompressed bytes decoded
	CompressedBytes int64
	Rows            int64 // rows decoded
}

// Cursor walks the answer of a query. It is not safe for concurrent use.
type Cursor interface {
	// Applied is constant for the life of the cursor.
	Applied() Applied
	// Next returns the next rows in the query's direction, globally ordered by
	// timestamp over all streams, or nil and no error at the end. It honours ctx
	// within about 100 ms.
	Next(ctx context.Context) (*ColumnBatch, error)
	Stats() Stats
	Close() error
}

// Reader answers queries. Implementations MUST be safe for concurrent use, and a
// cursor MUST see every batch whose Append returned before Select was called.
type Reader interface {
	Select(ctx context.Context, q Query) (Cursor, error)
	// Streams returns the distinct label sets that match all matchers and have a
	// row in [from, to) (a store may be imprecise by the bounds of one block), in
	// label order. No matchers means all streams.
	Streams(ctx context.Context, t Table, tenants []Tenant, from, to int64, ms []*labels.Matcher) ([]labels.Labels, error)
	// NewestTimestamp is the greatest row timestamp under the matchers at or after
	// from, and false when there is none. It is cheap: freshness checks call it
	// each second.
	NewestTimestamp(ctx context.Context, t Table, tenants []Tenant, from int64, ms []*labels.Matcher) (int64, bool, error)
}

// CountQuery asks how many rows a selection has, by group and time, without
// delivering them.
type CountQuery struct {
	// Query is the selection; its Columns, Direction and Limit are ignored.
	Query Query
	// Width splits [From, To) into buckets of so many nanoseconds, the first one
	// starting at From; the last one may be shorter. Zero is one bucket for all.
	Width int64
	// Group maps a stream to the index of the group its rows count in; a negative
	// one leaves the stream out. Nil is one group for all. It is called at most once
	// for each stream, never concurrently.
	Group func(labels.Labels) int
	// LineBytes asks for Count.Bytes.
	LineBytes bool
}

// Count is what one group holds in one bucket; empty ones are not delivered.
type Count struct {
	Group  int
	Bucket int
	Rows   int64
	Bytes  int64 // of the lines, if asked for
}

// Counter counts rows where they are stored. What is answered from headers alone
// costs no decoding. Implementations MUST be safe for concurrent use and MUST
// evaluate every predicate exactly.
type Counter interface {
	// Count returns the counts sorted by group, then bucket. Hitting the budget is a
	// *BudgetError.
	Count(ctx context.Context, q CountQuery) ([]Count, Stats, error)
}

// CatalogQuery selects rows for a picker of names or values.
type CatalogQuery struct {
	Table    Table
	Tenants  []Tenant
	From, To int64 // From is inclusive, To exclusive, Unix nanoseconds
	Matchers []*labels.Matcher
}

// FieldName is a name that rows of the selection hold.
type FieldName struct {
	Name     string
	Types    []ValueType // those seen, ascending
	Rows     int64       // about how many rows hold it
	Distinct int64       // about how many values it has
}

// FieldValue is a value that rows of the selection hold under a name.
type FieldValue struct {
	Value string
	Type  ValueType
	Rows  int64 // about how many rows hold it
}

// Catalog answers which fields and values exist, for pickers, at a cost that does
// not grow with the rows. Answers may be imprecise by the bounds of a block, may count
// deleted rows until they leave the disk, and may leave out values of names that are
// (nearly) unique by row or have very many. Implementations MUST be
// safe for concurrent use.
type Catalog interface {
	// FieldNames returns the names in byte order.
	FieldNames(ctx context.Context, q CatalogQuery) ([]FieldName, error)
	// FieldValues returns at most limit values, the most frequent first, equal ones in
	// byte order, and whether there were more.
	FieldValues(ctx context.Context, q CatalogQuery, name string, limit int) (values []FieldValue, more bool, err error)
}

// Deletion asks for rows to be forgotten.
type Deletion struct {
	ID       string // unique; chosen by the store when empty
	Table    Table
	Tenants  []Tenant
	From, To int64 // From is inclusive, To exclusive, Unix nanoseconds
	Matchers []*labels.Matcher
	// Lines and Fields restrict it further; all must hold.
	Lines   []LinePredicate
	Fields  []FieldPredicate
	Created time.Time // set by the store
	// Query is what the user wrote, kept for listing.
	Query string
	// Done means that the rows have left the disk. Set by the store.
	Done bool
}

// Deleter forgets rows. Implementations MUST be safe for concurrent use.
type Deleter interface {
	// Delete makes the deletion durable. Rows stored before it returned are in no
	// answer of Select and Count afterwards; they leave the disk later, until when
	// Streams, NewestTimestamp and the Catalog may still tell of them. It returns the
	// deletion's ID.
	Delete(ctx context.Context, d Deletion) (string, error)
	// Deletions lists them, oldest first; finished ones are forgotten after a day,
	// or earlier when there are very many, and keep no predicates.
	Deletions(ctx context.Context) ([]Deletion, error)
	// CancelDeletion makes the rows that are still on disk visible again. An unknown
	// or finished one is ErrNoDeletion.
	CancelDeletion(ctx context.Context, id string) error
}

// Engine is a whole store: what the contract suite in columnartest runs against.
type Engine interface {
	Writer
	Reader
	Counter
	Catalog
	Deleter
	// Retain drops rows older than before, whole blocks at a time.
	Retain(ctx context.Context, before time.Time) error
	Close() error
}

// The errors that callers tell apart.
var (
	// ErrFull means that the store refuses more data now; a later try may succeed.
	ErrFull = errors.New("store is full")
	// ErrTooLarge means that the store will never take this batch: it is beyond a
	// bound on one batch. Split it or drop it; trying again is useless.
	ErrTooLarge = errors.New("batch is too large")
	// ErrNoDeletion means that no unfinished deletion has the ID.
	ErrNoDeletion = errors.New("no such deletion")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// BudgetError says which bound ended a query.
type BudgetError struct {
	Bound string // MaxBytes, MaxRows or MaxStreams
	Limit int64
}

func (e *BudgetError) Error() string {
	return "query exceeds its budget: " + e.Bound + " = " + strconv.FormatInt(e.Limit, 10)
}
