package columnar

import (
	"container/list"
	"sync"
)

// indexCache keeps decoded heads of indexes, the last used ones, within a bound of
// bytes. What belongs to parts that are gone is pushed out by the others. It is safe
// for concurrent use.
type indexCache struct {
	limit int64

	mu    sync.Mutex
	size  int64
	items map[indexKey]*list.Element
	order list.List // of indexItem, last used first
}

// indexKey names a section. Numbers of parts are never used again.
type indexKey struct {
	part    uint64
	section int
}

type indexItem struct {
	key   indexKey
	value any
	size  int64
}

func newIndexCache(limit int64) *indexCache {
	return &indexCache{limit: limit, items: map[indexKey]*list.Element{}}
}

func (c *indexCache) get(key indexKey) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(indexItem).value
}

func (c *indexCache) put(key indexKey, value any, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items[key] != nil || size > c.limit/4 {
		return
	}
	c.items[key] = c.order.PushFront(indexItem{key, value, size})
	c.size += size
	for c.size > c.limit {
		c.drop(c.order.Back())
	}
}

func (c *indexCache) drop(e *list.Element) {
	item := c.order.Remove(e).(indexItem)
	delete(c.items, item.key)
	c.size -= item.size
}
