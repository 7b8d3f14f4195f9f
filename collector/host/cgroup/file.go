package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Budget bounds the files that are kept open. It is safe for concurrent use.
type Budget struct{ left atomic.Int64 }

// NewBudget allows so many files to be kept open.
func NewBudget(files int) *Budget {
	b := &Budget{}
	b.left.Store(int64(files))
	return b
}

func (b *Budget) take() bool {
	if b.left.Add(-1) >= 0 {
		return true
	}
	b.left.Add(1)
	return false
}

// ErrGone says that the cgroup does not exist any more.
var ErrGone = errors.New("cgroup is gone")

// File is a file of /proc or a cgroup that is read again and again. It stays open
// while the budget allows: reading from the start makes the kernel produce its
// content anew. A File belongs to one goroutine at a time.
type File struct {
	path   string
	budget *Budget
	fd     int
	kept   bool
	absent bool
	single bool // the kernel writes the content in one go, so a short read is its end
}

// NewFile returns a File that is opened by its first Read.
func NewFile(path string, budget *Budget) File { return File{path: path, budget: budget} }

// newStatFile returns a File for a cgroup's counters. The kernel writes each of
// them in one go, which saves the system call that would find the end.
func newStatFile(path string, budget *Budget) File {
	return File{path: path, budget: budget, single: true}
}

// Read reads the whole file into buffer, which it grows when needed, and returns
// the content. It returns an error that wraps fs.ErrNotExist when there never was such a
// file (and does not try again), and one that wraps ErrGone when it disappeared.
func (f *File) Read(buffer *[]byte) ([]byte, error) {
	if f.absent || f.path == "" {
		return nil, fs.ErrNotExist
	}
	fd, err := f.open()
	if err != nil {
		return nil, err
	}
	content, err := readAll(fd, buffer, f.single)
	if !f.kept {
		_ = unix.Close(fd)
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		f.Close()
		return nil, ErrGone
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	return content, nil
}

func (f *File) open() (int, error) {
	if f.kept {
		return f.fd, nil
	}
	var fd int
	var err error
	for { // the runtime's preemption signals interrupt system calls
		if fd, err = unix.Open(f.path, unix.O_RDONLY|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ENOENT):
		f.absent = true
		return -1, fs.ErrNotExist
	case errors.Is(err, unix.ENODEV):
		return -1, ErrGone
	case err != nil:
		return -1, fmt.Errorf("open %s: %w", f.path, err)
	}
	if f.budget.take() {
		f.fd, f.kept = fd, true
	}
	return fd, nil
}

// Close gives the descriptor back. The File may be read again.
func (f *File) Close() {
	if f.kept {
		_ = unix.Close(f.fd)
		f.kept = false
		f.budget.left.Add(1)
	}
}

// minBuffer holds every cgroup file of usual machines.
const minBuffer = 16 << 10

func readAll(fd int, buffer *[]byte, single bool) ([]byte, error) {
	if cap(*buffer) < minBuffer {
		*buffer = make([]byte, minBuffer)
	}
	*buffer = (*buffer)[:cap(*buffer)]
	n := 0
	for {
		m, err := unix.Pread(fd, (*buffer)[n:], int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		n += m
		if m == 0 || (single && n < len(*buffer)) {
			return (*buffer)[:n], nil
		}
		if n == len(*buffer) {
			*buffer = append(*buffer, make([]byte, len(*buffer))...)
		}
	}
}
