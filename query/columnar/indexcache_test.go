package columnar

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIndexCache(t *testing.T) {
	c := newIndexCache(1000)
	for i := range 10 {
		c.put(indexKey{section: i}, i, 200)
	}
	require.Nil(t, c.get(indexKey{section: 4}))
	for i := 5; i < 10; i++ {
		require.Equal(t, i, c.get(indexKey{section: i}))
	}
	// What was used last stays.
	require.Equal(t, 5, c.get(indexKey{section: 5}))
	c.put(indexKey{part: 1}, "new", 200)
	require.Equal(t, 5, c.get(indexKey{section: 5}))
	require.Nil(t, c.get(indexKey{section: 6}))
	require.LessOrEqual(t, c.size, c.limit)

	c.put(indexKey{part: 2}, "too big", 900)
	require.Nil(t, c.get(indexKey{part: 2}), "one item must not push out all others")
}
