package podlogs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/yagura-dev/yagura/collector/queue"
)

// candidate is a file that a scan found.
type candidate struct {
	path    string
	origin  origin
	rotated bool
	// onlyKnown: read it only if it was read before. It is what may be left of a
	// plain file after its rotation, under a name that was not asked for.
	onlyKnown bool
}

// scanner finds the files that the configuration asks for.
type scanner struct {
	config  Config
	folders func(path string) // told of each folder in which pods or containers appear

	found []candidate
	errs  []error
	// Whether every folder could be listed. If not, a file that was not found is not
	// known to be gone.
	podsComplete, filesComplete bool
}

// list reads a folder. One that is gone is empty.
func (s *scanner) list(path string, complete *bool) []fs.DirEntry {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		*complete = false
		s.errs = append(s.errs, err)
	}
	return entries
}

func (s *scanner) scan() {
	s.found, s.errs = nil, nil
	s.podsComplete, s.filesComplete = true, true
	if s.config.PodsDir != "" {
		s.scanPods(s.config.PodsDir)
	}
	for _, files := range s.config.Files {
		s.scanFiles(files)
	}
}

func (s *scanner) scanPods(dir string) {
	if _, err := os.Stat(dir); err != nil {
		s.podsComplete = false // it may come, or come back
		if !errors.Is(err, fs.ErrNotExist) {
			s.errs = append(s.errs, err)
		}
		return
	}
	s.folders(dir)
	for _, podEntry := range s.list(dir, &s.podsComplete) {
		pod, ok := podFolder(podEntry.Name())
		if !ok {
			continue
		}
		podPath := filepath.Join(dir, podEntry.Name())
		s.folders(podPath)
		for _, containerEntry := range s.list(podPath, &s.podsComplete) {
			if !containerEntry.IsDir() {
				continue
			}
			containerPath := filepath.Join(podPath, containerEntry.Name())
			for _, entry := range s.list(containerPath, &s.podsComplete) {
				restarts, rotated, ok := containerFile(entry.Name())
				if !ok {
					continue
				}
				o := pod
				o.container, o.restarts = containerEntry.Name(), restarts
				s.found = append(s.found, candidate{
					path: filepath.Join(containerPath, entry.Name()), origin: o, rotated: rotated,
				})
			}
		}
	}
}

func (s *scanner) scanFiles(files Files) {
	paths, err := filepath.Glob(files.Path)
	if err != nil {
		s.errs = append(s.errs, err) // Validate refuses such a pattern
		return
	}
	if len(paths) == 0 && !strings.ContainsAny(files.Path, `*?[\`) {
		paths = []string{files.Path} // gone for the moment; its rotated remainder may be there
	}
	for _, path := range paths {
		if compressed(path) {
			continue
		}
		o := origin{path: path, service: files.ServiceName}
		s.found = append(s.found, candidate{path: path, origin: o})
		dir, base := filepath.Split(path)
		for _, entry := range s.list(filepath.Clean(dir), &s.filesComplete) {
			suffix, ok := strings.CutPrefix(entry.Name(), base)
			if ok && (strings.HasPrefix(suffix, ".") || strings.HasPrefix(suffix, "-")) && !compressed(entry.Name()) {
				s.found = append(s.found, candidate{
					path: dir + entry.Name(), origin: o, rotated: true, onlyKnown: true,
				})
			}
		}
	}
}

const (
	// quietBefore is how long a file that is rotated or gone must be quiet before it
	// is closed: its writer may not have reopened yet.
	quietBefore = 5 * time.Second
	// forgetAfter is how long the position of a file that is gone is kept, in case
	// it comes back.
	forgetAfter = time.Hour
)

// known is a position that the queue has, or will have with the present batch.
type known struct {
	position position
	plain    bool
	seen     time.Time // when a scan found the file last
}

func (s *scanner) complete(plain bool) bool {
	if plain {
		return s.filesComplete
	}
	return s.podsComplete
}

// scan opens the files that are new and notes which are gone.
func (t *Tailer) scan(ctx context.Context, now time.Time) {
	t.scanner.scan()
	for _, err := range t.scanner.errs {
		t.trouble("a folder of logs cannot be listed", err)
	}
	met := map[fileID]bool{}
	for _, c := range t.scanner.found {
		info, err := os.Stat(c.path)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				t.trouble("a log file cannot be looked at", err)
			}
			continue
		}
		id, ok := idOf(info)
		if !ok || !info.Mode().IsRegular() || met[id] {
			continue
		}
		k := t.known[id]
		if k == nil && c.onlyKnown && t.files[id] == nil {
			continue
		}
		met[id] = true
		if k != nil {
			k.seen = now
		}
		if f := t.files[id]; f != nil {
			f.path, f.rotated, f.size, f.seen = c.path, c.rotated, info.Size(), now
			continue
		}
		if c.rotated && k != nil && k.position.Offset == info.Size() && k.position.Pieces == nil {
			continue // read to its end
		}
		if err := t.open(ctx, c, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.trouble("a log file cannot be opened", err)
		}
	}
	for _, f := range t.files {
		if !t.scanner.complete(f.origin.plain()) {
			f.seen = now
		}
	}
	for _, k := range t.known {
		if !t.scanner.complete(k.plain) {
			k.seen = now
		}
	}
	t.scanned = true
	t.unwatch()
	t.forget(ctx, now)
	t.measure()
}

// open begins to read a file, where it was left if it was read before.
func (t *Tailer) open(ctx context.Context, c candidate, now time.Time) error {
	handle, err := os.Open(c.path)
	if err != nil {
		return err
	}
	f := &file{
		path: c.path, origin: c.origin, rotated: c.rotated, handle: handle, seen: now, grown: now,
	}
	info, err := handle.Stat()
	if err != nil {
		return errors.Join(err, handle.Close())
	}
	id, ok := idOf(info)
	if !ok || t.files[id] != nil { // renamed since it was looked at
		return handle.Close()
	}
	f.id, f.size = id, info.Size()
	if k := t.known[id]; k != nil {
		same, err := f.resume(k.position, t.reader.maxLine)
		if err != nil {
			return errors.Join(err, handle.Close())
		}
		if !same {
			f.restart()
			t.log.Info("a log file is not the one that was read under this inode; it is read from its beginning",
				"path", f.path, "offset_before", k.position.Offset, "size", f.size)
		}
	} else if f.origin.plain() && t.config.From == FromEnd && !t.scanned {
		if f.tail, err = readTail(handle, f.size); err != nil {
			return errors.Join(err, handle.Close())
		}
		f.offset = f.size
		// Kept at once, or a restart before the first line would skip what came between.
		err := t.queue.SavePositions(ctx, queue.Logs, queue.Positions{f.source(): f.position().encode()})
		if err != nil {
			return errors.Join(err, handle.Close())
		}
	}
	if !f.origin.plain() && t.metadata != nil && t.metadata.Enabled() {
		f.waitUntil = now.Add(time.Duration(t.config.MetadataWait))
	}
	t.files[id] = f
	t.order = append(t.order, f)
	t.log.Debug("reading a log file", "path", f.path, "offset", f.offset, "size", f.size)
	return nil
}

// measure sets the gauges.
func (t *Tailer) measure() {
	var lag int64
	for _, f := range t.order {
		lag += max(0, f.size-f.offset)
	}
	t.metrics.files.Set(float64(len(t.order)))
	t.metrics.lag.Set(float64(lag))
}
