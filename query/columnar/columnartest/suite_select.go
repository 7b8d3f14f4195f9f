package columnartest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

func testOrder(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 40 {
		// Timestamps fall and interleave between streams; some are equal, one is
		// before 1970.
		batches = append(batches, logs(app(fmt.Sprint(i%3)), row(int64(1000-i*7), fmt.Sprint("a", i)), row(int64(i*5), fmt.Sprint("b", i)), row(-3, fmt.Sprint("c", i))))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, direction := range []columnar.Direction{columnar.Forward, columnar.Backward} {
			for _, limit := range []int{0, 1, 2, 17, 119, 120, 1000} {
				q := everything()
				q.Direction, q.Limit = direction, limit
				mustEqual(t, e, o, q)
				first, _, err := collect(context.Background(), e, q)
				require.NoError(t, err)
				second, _, err := collect(context.Background(), e, q)
				require.NoError(t, err)
				require.Equal(t, first, second, "the order of equal times is stable")
			}
		}
	})
}

func testLinePredicates(t *testing.T, e columnar.Engine) {
	lines := []string{"", "a", "error: disk full", "ERROR: disk full", "disk", "first\nsecond", "id=da74a0f87 x", "\xff\xfe not UTF-8", "naïve ünïcode 日本", "tail a", "aa", "full disk"}
	var batches []columnar.Batch
	for i, l := range lines {
		batches = append(batches, logs(app("x"), row(int64(i), l)))
	}
	predicates := []columnar.LinePredicate{}
	for _, text := range []string{"", "a", "disk", "disk full", "full", "日本", "nothing", "da74a0f87", "\xff", "fulldisk"} {
		predicates = append(predicates, columnar.LinePredicate{Op: columnar.Contains, Text: text}, columnar.LinePredicate{Op: columnar.NotContains, Text: text})
	}
	for _, text := range []string{"", "^a$", "(?i)error", "disk (full|empty)", "^$", "first.second", "(?s)first.second", "[0-9a-f]{9}", "error|disk", "a+", "(disk ){0,1}full", "\uFFFD", "x*"} {
		predicates = append(predicates, columnar.LinePredicate{Op: columnar.Matches, Text: text}, columnar.LinePredicate{Op: columnar.NotMatches, Text: text})
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for i, p := range predicates {
			q := everything()
			q.Lines = []columnar.LinePredicate{p}
			mustEqual(t, e, o, q)
			q.Lines = append(q.Lines, predicates[(i*7+3)%len(predicates)])
			mustEqual(t, e, o, q)
			q.Columns = columnar.Columns{AllFields: true}
			mustEqual(t, e, o, q)
		}
	})
}

func testFieldPredicates(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i, fields := range [][]columnar.Field{
		nil,
		{field("status", "200")},
		{field("status", "500"), field("path", "/a")},
		{field("status", "")},
		{field("status", "200"), field("status", "500")},
		{{Name: "status", Value: "1e2", Type: columnar.Float}},
		{field("status", "NaN")},
		{field("status", "text\nmore")},
		{{Name: "status", Value: "-7", Type: columnar.Int}, field("path", "")},
		{field("path", "/b")},
	} {
		batches = append(batches, logs(app("x"), row(int64(i), fmt.Sprint("row ", i), fields...)))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for op := columnar.FieldEqual; op <= columnar.FieldGreaterOrEqual; op++ {
			for _, name := range []string{"status", "path", "absent"} {
				for _, text := range []string{"", "200", "500", ".*", ".+", "2..|500", "20", "-7", "100.0", "text.more", "NaN", "Inf", "/[ab]"} {
					q := everything()
					q.Fields = []columnar.FieldPredicate{{Name: name, Op: op, Text: text}}
					mustEqual(t, e, o, q)
					q.Fields = append(q.Fields, columnar.FieldPredicate{Name: "path", Op: columnar.FieldNotEqual, Text: "/a"})
					mustEqual(t, e, o, q)
				}
			}
		}
	})
}

func testFieldTypes(t *testing.T, e columnar.Engine) {
	all := []columnar.Field{
		{Name: "s", Value: "text", Type: columnar.String}, {Name: "i", Value: "42", Type: columnar.Int},
		{Name: "f", Value: "1.5", Type: columnar.Float}, {Name: "b", Value: "true", Type: columnar.Bool},
		{Name: "y", Value: "AAE=", Type: columnar.Bytes}, {Name: "j", Value: `{"a":[1]}`, Type: columnar.JSON},
		{Name: "", Value: "", Type: columnar.String}, {Name: "s", Value: "again", Type: columnar.Int}, {Name: "s", Value: "text", Type: columnar.String},
	}
	batches := []columnar.Batch{
		logs(app("x"), row(1, "all", all...)),
		logs(app("x"), row(2, "none")),
		logs(app("x"), row(3, "mixed", columnar.Field{Name: "i", Value: "not a number"}, field("id", "0123456789abcdef0123456789abcdef"))),
		logs(app("x"), row(4, "hex", field("id", "fedcba98765432100123456789abcdef"))),
		logs(app("x"), row(5, "upper", field("id", "FEDCBA98765432100123456789ABCDEF"))),
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) { mustEqual(t, e, o, everything()) })
}

func testColumns(t *testing.T, e columnar.Engine) {
	var batches []columnar.Batch
	for i := range 20 {
		batches = append(batches, logs(app("x"), row(int64(i), fmt.Sprint("line ", i), field("a", fmt.Sprint(i)), field("b", "same"), field(fmt.Sprint("only", i), "here"))))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, columns := range []columnar.Columns{
			{}, {Line: true}, {AllFields: true}, {Fields: []string{"a"}}, {Line: true, Fields: []string{"b", "only3", "absent"}},
		} {
			q := everything()
			q.Columns = columns
			mustEqual(t, e, o, q)
			q.Fields = []columnar.FieldPredicate{{Name: "a", Op: columnar.FieldGreater, Text: "10"}}
			q.Lines = []columnar.LinePredicate{{Op: columnar.Contains, Text: "1"}}
			mustEqual(t, e, o, q)
		}
	})
}

func testTimeRange(t *testing.T, e columnar.Engine) {
	day := int64(24 * time.Hour)
	var batches []columnar.Batch
	for i := range int64(12) {
		batches = append(batches, logs(app("x"), row(i*day/4, "a"), row(i*day/4-1, "b"), row(-i*day, "c"), row(i, "d")))
	}
	eachLayer(t, e, batches, func(t *testing.T, o *Oracle) {
		for _, r := range [][2]int64{{0, 0}, {0, 1}, {1, 0}, {0, day}, {day, day + 1}, {day - 1, day}, {-5 * day, 5}, {-1 << 63, 1<<63 - 1}, {day / 4, day/4 + 1}} {
			for _, direction := range []columnar.Direction{columnar.Forward, columnar.Backward} {
				q := everything()
				q.From, q.To, q.Direction = r[0], r[1], direction
				mustEqual(t, e, o, q)
				q.Limit = 3
				mustEqual(t, e, o, q)
			}
		}
	})
}
