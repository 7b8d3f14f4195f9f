package columnar_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/columnar/columnartest"
)

func open(t testing.TB, dir string, change ...func(*columnar.Options)) *columnar.Store {
	t.Helper()
	opts := columnar.Options{Logger: quiet()}
	for _, c := range change {
		c(&opts)
	}
	s, err := columnar.Open(dir, opts)
	require.NoError(t, err)
	return s
}

// The suite runs with the default sizes, and with sizes so small that every
// bound is reached: tables seal by themselves, blocks hold a few rows, parts are
// merged and queries keep only pieces of blocks.
func TestContract(t *testing.T) {
	for name, config := range map[string]columnar.Config{
		"defaults": {},
		"small":    {MemTableBytes: 64 << 10, BlockBytes: 4 << 10, QueryMemoryBytes: 64 << 10, DeletionDelay: -1, MergeShare: 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			columnartest.RunWithReopen(t, func(t testing.TB, dir string) columnar.Engine {
				return open(t, dir, func(o *columnar.Options) { o.Config = config })
			})
		})
	}
}
