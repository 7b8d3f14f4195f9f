package columnar

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A snapshot is a folder with a manifest and the parts it lists, and no
// write-ahead log: what was in the log is written to parts first. It is itself a
// folder that Open takes. The manifest is written last, so that a snapshot that
// was interrupted is none.

// Snapshot writes the store as it is now to dir, which must not exist or be empty.
// It holds every batch whose Append returned before the call, and of the later ones
// those up to some instant. Parts are hard links where the file system allows it,
// and copies otherwise; the store goes on meanwhile. After an error nothing is left
// of it. It is safe for concurrent use.
func (s *Store) Snapshot(ctx context.Context, dir string) (err error) {
	start := s.clock.Now()
	if s.closed() {
		return ErrClosed
	}
	// What has to stay in the log because of a full disk is missing from the
	// snapshot, which then would be none.
	if err := s.Flush(ctx); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	made, err := emptyStore(dir)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("snapshot to %s: %w", dir, err), removeStore(dir, made))
		}
	}()
	s.commitMu.Lock()
	m := s.manifest
	s.mu.RLock()
	parts := s.parts
	for _, p := range parts {
		p.hold() // so that the file stays, whatever is merged or dropped meanwhile
	}
	s.mu.RUnlock()
	m.Parts = nil
	for _, p := range parts {
		m.Parts = append(m.Parts, p.current())
	}
	lost := len(s.lostParts)
	s.commitMu.Unlock()
	defer release(parts)
	if lost > 0 {
		s.log.Warn("the snapshot leaves out parts that cannot be opened", "parts", lost)
	}
	for _, p := range parts {
		if err := linkOrCopy(ctx, p.path, filepath.Join(dir, "parts", filepath.Base(p.path))); err != nil {
			return err
		}
	}
	if err := finishStore(dir, m); err != nil {
		return err
	}
	s.metrics.snapshots.Inc()
	s.log.Info("wrote a snapshot", "folder", dir, "parts", len(parts), "took", s.clock.Since(start))
	return nil
}

// Restore makes the store of a snapshot in dir, which must not exist or be empty.
// All of the snapshot is checked first; what is damaged is named in the error, and
// then nothing is written. (Open takes even a damaged snapshot, and leaves out what
// it cannot read.)
func Restore(ctx context.Context, snapshot, dir string) (err error) {
	data, err := os.ReadFile(filepath.Join(snapshot, "MANIFEST"))
	if err != nil {
		return fmt.Errorf("%s is no snapshot: %w", snapshot, err)
	}
	if numbers, err := segments(filepath.Join(snapshot, "wal")); err == nil && len(numbers) > 0 {
		return fmt.Errorf("%s is no snapshot but a store: it has a write-ahead log", snapshot)
	}
	m, _, err := decodeManifest(data)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(snapshot, "MANIFEST"), err)
	}
	codec, err := newBlockCodec()
	if err != nil {
		return err
	}
	var damages []error
	for _, meta := range m.Parts {
		path := filepath.Join(snapshot, "parts", meta.fileName())
		if err := verifyPart(ctx, path, meta, codec); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			damages = append(damages, err)
		}
	}
	if len(damages) > 0 {
		return fmt.Errorf("snapshot %s is damaged: %w", snapshot, errors.Join(damages...))
	}
	made, err := emptyStore(dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("restore to %s: %w", dir, err), removeStore(dir, made))
		}
	}()
	for _, meta := range m.Parts {
		if err := linkOrCopy(ctx, filepath.Join(snapshot, "parts", meta.fileName()), filepath.Join(dir, "parts", meta.fileName())); err != nil {
			return err
		}
	}
	return finishStore(dir, m)
}

// emptyStore makes the folders of a store, and reports whether dir is new.
func emptyStore(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		made = true
	case err != nil:
		return false, err
	case len(entries) > 0:
		return false, fmt.Errorf("folder %s is not empty", dir)
	}
	return made, os.MkdirAll(filepath.Join(dir, "parts"), 0o755)
}

// removeStore undoes an attempt to fill an empty folder.
func removeStore(dir string, made bool) error {
	if made {
		return os.RemoveAll(dir)
	}
	return errors.Join(os.RemoveAll(filepath.Join(dir, "parts")), os.RemoveAll(filepath.Join(dir, "MANIFEST")))
}

// finishStore writes the manifest that makes a folder of parts a store.
func finishStore(dir string, m manifest) error {
	data, err := m.encode()
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Join(dir, "parts")); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, "MANIFEST"), data); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// linkOrCopy gives a file, which never changes, a second name, or copies it when
// the file systems differ.
func linkOrCopy(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Link(from, to); err == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, contextReader{ctx, in}); err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// verifyPart reads all of a part's file and names what is damaged in it.
func verifyPart(ctx context.Context, path string, m partMeta, codec *blockCodec) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != m.Bytes {
		return fmt.Errorf("%s has %d bytes instead of %d", path, info.Size(), m.Bytes)
	}
	damaged := error(nil)
	if m.Checksum != 0 {
		sum := &sumWriter{}
		if _, err := io.Copy(sum, contextReader{ctx, file}); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		if sum.sum == m.Checksum {
			return nil
		}
		damaged = fmt.Errorf("%s: whole file: %w", path, errChecksum)
	}
	if err := verifyBlocks(ctx, file, path, m, codec); err != nil {
		return err
	}
	return damaged
}

// verifyBlocks decodes everything that has a checksum of its own.
func verifyBlocks(ctx context.Context, file *os.File, path string, m partMeta, codec *blockCodec) error {
	index, err := readPartIndex(file, codec, m.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := readPartIndex(file, codec, m.FirstIndexEnd); err != nil {
		return fmt.Errorf("%s: first index: %w", path, err)
	}
	p := &part{partMeta: m, path: path, file: file, blocks: index.blocks, runs: index.runs}
	r := takeReader()
	defer r.recycle()
	var damages []error
	for i := range p.blocks {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.load(p, &p.blocks[i], codec); err != nil {
			damages = append(damages, err)
			continue
		}
		for c := range r.header.columns {
			if r.header.columns[c].kind == columnTime {
				continue // load has read it
			}
			if _, err := r.column(c, codec); err != nil {
				damages = append(damages, err)
			}
		}
	}
	return errors.Join(damages...)
}
