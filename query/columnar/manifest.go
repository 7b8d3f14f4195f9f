package columnar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

const (
	minTime = math.MinInt64
	maxTime = math.MaxInt64
)

// The manifest is a text file with the same content twice, each
//
//	yagura-manifest VERSION CRC LENGTH\n
//	LENGTH bytes of JSON\n
//
// where CRC is the CRC-32C of the JSON as eight hexadecimal digits. It is written
// to a temporary file, synced and renamed, so that there is always one whole
// manifest; the second copy is for a bit that flips afterwards.
//
// Version 2 added deletions, and the checksum and the clean deletions of parts.
const (
	manifestVersion = 2
	manifestMagic   = "yagura-manifest"
)

// partMeta describes a part in the manifest.
type partMeta struct {
	ID    uint64 `json:"id"`
	Table Table  `json:"table"`
	// Day is the UTC day since 1970 that all rows belong to, or mixedDays.
	Day int64 `json:"day"`
	// Generation orders parts by the arrival of their rows.
	Generation uint64 `json:"generation"`
	Level      int    `json:"level"` // how often its rows were merged, at most
	Rows       int64  `json:"rows"`
	RawBytes   int64  `json:"rawBytes"`
	Bytes      int64  `json:"bytes"`
	// FirstIndexEnd is where the first index and its footer end in the file.
	FirstIndexEnd int64 `json:"firstIndexEnd"`
	// Least and Latest are the bounds of the timestamps, both inclusive.
	Least  int64 `json:"least"`
	Latest int64 `json:"latest"`
	// RetainedFrom hides blocks whose rows are all older; retention raises it.
	RetainedFrom int64 `json:"retainedFrom"`
	// Checksum is the CRC-32C of the whole file; 0 in parts of before version 2.
	Checksum uint32 `json:"checksum,omitempty"`
	// Purged is the last deletion up to which the part has no row of any.
	Purged uint64 `json:"purged,omitempty"`
}

func (m partMeta) fileName() string {
	day := "mixed"
	if m.Day != mixedDays {
		day = time.Unix(m.Day*secondsPerDay, 0).UTC().Format("20060102")
	}
	return fmt.Sprintf("%s-%s-%016d.part", m.Table, day, m.ID)
}

type senderEntry struct {
	Collector string `json:"collector"`
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"sequence"`
	Seen      int64  `json:"seen"` // Unix seconds
}

// manifest is the store's root: what it lists counts, what it does not is litter.
type manifest struct {
	// LastRecord is the last write-ahead record whose rows are in parts.
	LastRecord uint64 `json:"lastRecord"`
	// NextPart is above every part number ever used.
	NextPart uint64        `json:"nextPart"`
	Parts    []partMeta    `json:"parts"`
	Senders  []senderEntry `json:"senders"`
	// LastDeletion is the number of the last deletion ever accepted.
	LastDeletion uint64          `json:"lastDeletion,omitempty"`
	Deletions    []deletionEntry `json:"deletions,omitempty"`
}

func (m *manifest) setSenders(d dedupe) {
	m.Senders = make([]senderEntry, 0, len(d))
	for k, v := range d {
		m.Senders = append(m.Senders, senderEntry{k.Collector, k.Stream, v.Sequence, v.Seen.Unix()})
	}
	sort.Slice(m.Senders, func(i, j int) bool {
		a, b := m.Senders[i], m.Senders[j]
		if a.Collector != b.Collector {
			return a.Collector < b.Collector
		}
		return a.Stream < b.Stream
	})
}

func (m *manifest) dedupe() dedupe {
	d := make(dedupe, len(m.Senders))
	for _, e := range m.Senders {
		d[sender{e.Collector, e.Stream}] = senderState{Sequence: e.Sequence, Seen: time.Unix(e.Seen, 0)}
	}
	return d
}

func (m *manifest) encode() ([]byte, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	var out bytes.Buffer
	for range 2 {
		fmt.Fprintf(&out, "%s %d %08x %d\n", manifestMagic, manifestVersion, checksum(body), len(body))
		out.Write(body)
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// decodeManifest takes the first whole copy. damaged is what was wrong with the
// other one.
func decodeManifest(data []byte) (m manifest, damaged, err error) {
	m, first, err := decodeManifestCopy(data)
	if err == nil {
		if _, _, second := decodeManifestCopy(data[first:]); second != nil {
			return m, fmt.Errorf("second copy: %w", second), nil
		}
		return m, nil, nil
	}
	if errors.Is(err, ErrNewerFormat) {
		return manifest{}, nil, err
	}
	// The length in a damaged head cannot be trusted: the second copy is the last
	// head in the file, and the body cannot contain one, because JSON escapes line
	// feeds.
	at := bytes.LastIndex(data, []byte("\n"+manifestMagic+" "))
	if at < 0 {
		return manifest{}, nil, err
	}
	m, _, second := decodeManifestCopy(data[at+1:])
	if second != nil {
		return manifest{}, nil, errors.Join(err, second)
	}
	return m, fmt.Errorf("first copy: %w", err), nil
}

func decodeManifestCopy(data []byte) (manifest, int, error) {
	var (
		m       manifest
		magic   string
		version int
		crc     uint32
		size    int
	)
	end := bytes.IndexByte(data, '\n')
	if end < 0 || end > 128 {
		return m, 0, fmt.Errorf("manifest: head: %w", errTruncated)
	}
	if _, err := fmt.Sscanf(string(data[:end]), "%s %d %08x %d", &magic, &version, &crc, &size); err != nil || magic != manifestMagic {
		return m, 0, fmt.Errorf("manifest: head %q is not readable", data[:end])
	}
	if version > manifestVersion {
		return m, 0, fmt.Errorf("manifest of version %d: %w", version, ErrNewerFormat)
	}
	body := data[end+1:]
	if size < 0 || size >= len(body) {
		return m, 0, fmt.Errorf("manifest: body: %w", errTruncated)
	}
	body = body[:size]
	if checksum(body) != crc {
		return m, 0, fmt.Errorf("manifest: body: %w", errChecksum)
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, 0, fmt.Errorf("manifest: body: %w", err)
	}
	return m, end + 1 + size + 1, nil
}

func (s *Store) manifestPath() string { return filepath.Join(s.dir, "MANIFEST") }

// loadManifest reads the manifest; a folder without one must have no parts.
func (s *Store) loadManifest() error {
	data, err := os.ReadFile(s.manifestPath())
	if errors.Is(err, fs.ErrNotExist) {
		entries, err := os.ReadDir(s.partsDir())
		if err != nil {
			return fmt.Errorf("list parts: %w", err)
		}
		// The first flush writes a part before the first manifest, so a crash in
		// between leaves a part whose rows are all still in the log.
		numbers, err := segments(s.wal.dir)
		if err != nil {
			return err
		}
		if len(entries) > 0 && (len(numbers) == 0 || numbers[0] != 1) {
			return fmt.Errorf("%s is missing but there are %d parts", s.manifestPath(), len(entries))
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	m, damaged, err := decodeManifest(data)
	if err != nil {
		s.metrics.corrupt.WithLabelValues("manifest").Inc()
		return fmt.Errorf("%s: %w", s.manifestPath(), err)
	}
	if damaged != nil {
		s.metrics.corrupt.WithLabelValues("manifest").Inc()
		s.log.Error("manifest is damaged; its other copy is whole", "file", s.manifestPath(), "err", damaged)
	}
	s.manifest = m
	s.senders = m.dedupe()
	s.nextPart.Store(m.NextPart)
	return s.loadDeletions()
}

// storeManifest replaces the manifest on disk, then in memory. The caller holds
// commitMu. After an error the manifest before still counts. makesRoom means that
// files go afterwards, for which the reserve is there.
func (s *Store) storeManifest(m manifest, makesRoom bool) error {
	m.NextPart = s.nextPart.Load()
	data, err := m.encode()
	if err != nil {
		return err
	}
	if err := syncDir(s.partsDir()); err != nil {
		return err
	}
	err = replaceFile(s.manifestPath(), data)
	if makesRoom && diskIsFull(err) && s.spendReserve() {
		err = replaceFile(s.manifestPath(), data)
	}
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	s.manifestBytes = int64(len(data))
	s.manifest = m
	// From here on the new manifest counts for this process and for the next one.
	// Only a crash of the machine could bring the old one back, so what the old one
	// needs must stay until the folder is synced.
	if s.unsynced = syncDir(s.dir); s.unsynced != nil {
		s.log.Error("cannot sync the folder; keeping files that are not needed any more", "err", s.unsynced)
	}
	return nil
}

// replaceFile makes the file hold data, or leaves it as it was. A failed attempt
// leaves no litter behind, which on a full disk would keep the next one from room.
func replaceFile(path string, data []byte) error {
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// openParts opens what the manifest lists and removes what it does not.
func (s *Store) openParts() error {
	listed := map[string]bool{}
	for _, m := range s.manifest.Parts {
		listed[m.fileName()] = true
		p, damaged, err := s.openPart(m)
		if damaged != nil {
			s.metrics.corrupt.WithLabelValues("index").Inc()
			s.log.Error("an index of a part is damaged", "file", s.partPath(m), "readable", err == nil, "err", damaged)
		}
		if errors.Is(err, ErrNewerFormat) {
			return err
		}
		if err != nil {
			// The rest of the store is worth more than a clean start.
			s.lose(m, err)
			continue
		}
		p.hidden.Store(s.hidden(p, nil, s.deletions))
		s.parts = append(s.parts, p)
		s.partBytes.Add(m.Bytes)
	}
	sortParts(s.parts)
	entries, err := os.ReadDir(s.partsDir())
	if err != nil {
		return fmt.Errorf("list parts: %w", err)
	}
	for _, e := range entries {
		if listed[e.Name()] || !strings.HasSuffix(e.Name(), ".part") {
			continue
		}
		if err := os.Remove(filepath.Join(s.partsDir(), e.Name())); err != nil {
			return fmt.Errorf("remove a part that an interrupted write left: %w", err)
		}
	}
	return nil
}
