package columnar_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
)

var wholeCatalog = columnar.CatalogQuery{Table: columnar.Logs, From: math.MinInt64, To: math.MaxInt64}

// fieldNames maps the names that the store knows to what it knows of them.
func fieldNames(t *testing.T, s *columnar.Store) map[string]columnar.FieldName {
	t.Helper()
	names, err := s.FieldNames(context.Background(), wholeCatalog)
	require.NoError(t, err)
	out := map[string]columnar.FieldName{}
	for _, n := range names {
		out[n.Name] = n
	}
	return out
}

func rowsWithFields(app string, rows int, fields ...string) columnar.Batch {
	st := columnar.Stream{Labels: labels.FromStrings("app", app)}
	for i := range rows {
		r := columnar.Row{Timestamp: int64(i), Line: fmt.Sprint("line ", i)}
		for _, name := range fields {
			r.Fields = append(r.Fields, columnar.Field{Name: name, Value: fmt.Sprint("value ", i)})
		}
		st.Rows = append(st.Rows, r)
	}
	return columnar.Batch{Table: columnar.Logs, Streams: []columnar.Stream{st}}
}

// While a deletion waits to be carried out, pickers cost what they do without it: no
// block is read, which shows in that nobody notices that they are damaged. Blocks
// that it covers as a whole count no more.
func TestCatalogDuringDeletion(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	reg := prometheus.NewRegistry()
	s := open(t, dir, func(o *columnar.Options) {
		o.Config, o.Registerer, o.DeletionDelay = smallBlocks, reg, model.Duration(time.Hour)
	})
	defer func() { require.NoError(t, s.Close()) }()
	for _, app := range []string{"kept", "gone"} {
		_, err := s.Append(ctx, rowsWithFields(app, 200, app))
		require.NoError(t, err)
	}
	require.NoError(t, s.Flush(ctx))
	_, err := s.Delete(ctx, containing("line 7"))
	require.NoError(t, err)
	file := onlyFile(t, filepath.Join(dir, "parts", "*.part"))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(make([]byte, 64), 16) // the head of the first block
	require.NoError(t, err)
	names := fieldNames(t, s)
	require.Zero(t, metric(t, reg, corruptions))
	require.EqualValues(t, 200, names["kept"].Rows)
	require.EqualValues(t, 200, names["gone"].Rows)
	_, err = f.WriteAt(data[:128], 0)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, 400-2*11, count(t, s))

	d := columnar.Deletion{Table: columnar.Logs, From: 0, To: 1000}
	d.Matchers = []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, "app", "gone")}
	_, err = s.Delete(ctx, d)
	require.NoError(t, err)
	q := wholeCatalog
	q.Matchers = d.Matchers
	left, err := s.FieldNames(ctx, q)
	require.NoError(t, err)
	require.Empty(t, left)
}

// What an answer lists is bounded, wherever the values lie; how many there are is
// known all the same.
func TestCatalogIsBounded(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		memory int64
		most   int
	}{"by number": {0, 16 << 10}, "by bytes": {256 << 10, 256 << 10 / 96}} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir(), func(o *columnar.Options) { o.QueryMemoryBytes = c.memory })
			defer func() { require.NoError(t, s.Close()) }()
			const rows = 30_000
			_, err := s.Append(ctx, rowsWithFields("a", rows, "one", "two"))
			require.NoError(t, err)
			for _, field := range []string{"one", "two"} {
				values, more, err := s.FieldValues(ctx, wholeCatalog, field, 0)
				require.NoError(t, err)
				require.True(t, more)
				require.LessOrEqual(t, len(values), c.most)
				require.NotEmpty(t, values)
			}
			_, err = s.Append(ctx, rowsWithFields("b", 10, "three"))
			require.NoError(t, err)
			values, more, err := s.FieldValues(ctx, wholeCatalog, "three", 0)
			require.NoError(t, err)
			require.False(t, more)
			require.Len(t, values, 10)
			names := fieldNames(t, s)
			delete(names, "three")
			for _, n := range names {
				require.EqualValues(t, rows, n.Rows)
				require.InEpsilon(t, rows, n.Distinct, 0.25, n.Name)
			}
		})
	}
}
