package ingest_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/ingest"
)

func TestParseBatchID(t *testing.T) {
	id, err := ingest.ParseBatchID("3f1c9a52-8d8e-4f63-9f0c-0f6f6f5b2f4e/otlp-metrics/42")
	require.NoError(t, err)
	require.Equal(t, columnar.BatchID{Collector: "3f1c9a52-8d8e-4f63-9f0c-0f6f6f5b2f4e", Stream: "otlp-metrics", Sequence: 42}, id)
	id, err = ingest.ParseBatchID("")
	require.NoError(t, err)
	require.True(t, id.IsZero())

	for in, names := range map[string]string{
		"a":                               "parts",
		"a/b":                             "parts",
		"a/b/1/2":                         "parts",
		"/b/1":                            "collector",
		"a//1":                            "stream",
		"a/b/":                            "sequence",
		"a/b/0":                           "sequence",
		"a/b/-1":                          "sequence",
		"a/b/+1":                          "sequence",
		"a/b/01":                          "sequence",
		"a/b/1e3":                         "sequence",
		"a/b/9007199254740993":            "sequence",
		"a/b/99999999999999999999":        "sequence",
		"a b/c/1":                         "collector",
		"é/c/1":                           "collector",
		strings.Repeat("a", 129) + "/b/1": "collector",
	} {
		_, err := ingest.ParseBatchID(in)
		require.ErrorContains(t, err, ingest.BatchHeader, in)
		require.ErrorContains(t, err, names, in)
	}
}

func FuzzParseBatchID(f *testing.F) {
	for _, s := range []string{"a/b/1", "", "a/b/9007199254740992", "//", "a/b/ 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ingest.ParseBatchID(s)
		if err != nil || id.IsZero() {
			return
		}
		if again := id.Collector + "/" + id.Stream + "/" + strconv.FormatUint(id.Sequence, 10); again != s {
			t.Fatalf("%q was read as %q", s, again)
		}
	})
}
