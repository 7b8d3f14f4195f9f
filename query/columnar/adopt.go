package columnar

// adoption is a block of a part being merged that is taken over as it is encoded,
// when its rows come one after the other and nothing in between: most rows are in
// blocks of full size after their first flush, and encoding them again would buy
// nothing. On real logs in eight copies it takes a third off the work of storing
// them.
type adoption struct {
	from  *partScanner // nil: there is no such block
	block int          // which of the scanner's blocks
	rows  int          // of the block
	next  int          // the row that must come next
}

// offer notes that the scanner's current row is about to be added. It must come
// before add.
func (w *partWriter) offer(sc *partScanner) error {
	a := &w.adopted
	if a.from != nil && a.from == sc && a.block == sc.block && a.next == sc.row {
		a.next++
		return nil
	}
	a.from = nil
	if sc.row > 0 || !w.adoptable(sc) {
		return nil
	}
	if err := w.finishBlock(); err != nil {
		return err
	}
	*a = adoption{from: sc, block: sc.block, rows: sc.reader.header.rows, next: 1}
	return nil
}

// adoptable reports whether the scanner's block is worth taking over from its first
// row on.
func (w *partWriter) adoptable(sc *partScanner) bool {
	b := sc.reader.meta
	limit := w.blockBytes()
	if int64(b.raw) < limit/2 || sc.reader.header.version != blockVersion || len(sc.reader.block) == 0 {
		return false
	}
	// Not at the price of a small block before it.
	pending := w.builder.size()
	return pending == 0 || pending >= limit/4
}

// settle ends the block if all rows of an adopted one were added.
func (w *partWriter) settle() error {
	if a := &w.adopted; a.from == nil || a.next != a.rows {
		return nil
	}
	return w.finishBlock()
}

// encodeBlock appends the block that is being built: the adopted one if it is the
// same. The scanner may be in another block by now, when the rows after those that
// were added are all left out: what it has read is not what was offered then.
func (w *partWriter) encodeBlock(dst []byte) ([]byte, blockMeta) {
	a := w.adopted
	w.adopted = adoption{}
	if a.from == nil || a.from.block != a.block || a.next != a.rows || w.builder.rows() != a.next {
		return w.builder.encode(dst)
	}
	r := &a.from.reader
	return w.builder.adopt(dst, r.header, r.block[r.meta.header:])
}
