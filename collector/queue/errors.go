package queue

import "errors"

var (
	// ErrFull says that the record would exceed the bytes the stream may use. A
	// source keeps its data and stops reading until there is room.
	ErrFull = errors.New("queue is full")
	// ErrTooLarge says that the record can never be accepted, however empty the
	// queue is.
	ErrTooLarge = errors.New("record is too large for the queue")
	// ErrClosed says that the queue has been closed.
	ErrClosed = errors.New("queue is closed")
	// ErrLocked says that another process has the folder open.
	ErrLocked = errors.New("queue folder is in use by another process")
)
