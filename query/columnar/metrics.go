package columnar

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what happened and what was refused, by reason.
type metrics struct {
	batches      *prometheus.CounterVec // outcome: stored, duplicate, full, too_large, canceled, failed
	rows         *prometheus.CounterVec // table
	bytes        *prometheus.CounterVec // table; uncompressed
	walBytes     prometheus.Counter
	walSyncs     prometheus.Counter
	corrupt      *prometheus.CounterVec // where: wal, block, index, manifest
	flushes      *prometheus.CounterVec // outcome: ok, failed
	merges       *prometheus.CounterVec // outcome: ok, failed, deferred
	mergeBytes   prometheus.Counter
	dropped      *prometheus.CounterVec // reason; bytes of parts
	droppedRows  *prometheus.CounterVec // reason
	droppedParts *prometheus.CounterVec // reason
	snapshots    prometheus.Counter
	deletions    *prometheus.CounterVec // what became of them: accepted, done, canceled
	rowsLost     *prometheus.CounterVec // table

	all []prometheus.Collector
}

func newMetrics(s *Store) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "yagura_columnar_" + name, Help: help})
	}
	vec := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "yagura_columnar_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		batches:      vec("batches_total", "Batches given to the store, by outcome.", "outcome"),
		rows:         vec("rows_total", "Rows stored, by table.", "table"),
		bytes:        vec("ingested_bytes_total", "Uncompressed bytes of lines and fields stored, by table.", "table"),
		walBytes:     counter("wal_written_bytes_total", "Bytes written to the write-ahead log."),
		walSyncs:     counter("wal_syncs_total", "Calls of fsync on the write-ahead log."),
		corrupt:      vec("corruptions_total", "Damaged pieces found on disk, by where.", "where"),
		flushes:      vec("flushes_total", "Memory tables written as parts, by outcome.", "outcome"),
		merges:       vec("merges_total", "Background merges, by outcome.", "outcome"),
		mergeBytes:   counter("merge_read_bytes_total", "Compressed bytes that merges have read."),
		dropped:      vec("dropped_bytes_total", "Bytes on disk that dropped rows took, by reason.", "reason"),
		droppedRows:  vec("dropped_rows_total", "Rows that retention and deletions took from the disk, by reason.", "reason"),
		droppedParts: vec("dropped_parts_total", "Whole parts dropped, by reason.", "reason"),
		snapshots:    counter("snapshots_total", "Snapshots written."),
		deletions:    vec("deletions_total", "Deletions, by what became of them.", "outcome"),
		rowsLost:     vec("lost_rows_total", "Rows that a damaged block took with it when it was merged away.", "table"),
	}
	for _, t := range tables {
		m.rows.WithLabelValues(t.String())
		m.bytes.WithLabelValues(t.String())
	}
	for _, o := range []string{outcomeStored, outcomeDuplicate, outcomeFull, outcomeTooLarge, outcomeCanceled, outcomeFailed} {
		m.batches.WithLabelValues(o)
	}
	for _, w := range []string{"wal", "block", "index", "manifest"} {
		m.corrupt.WithLabelValues(w)
	}
	for _, r := range []string{dropAge, dropBytes, dropFreeDisk, dropDeletion, dropRequested} {
		m.dropped.WithLabelValues(r)
		m.droppedRows.WithLabelValues(r)
		m.droppedParts.WithLabelValues(r)
	}
	for _, o := range []string{"accepted", "done", "canceled"} {
		m.deletions.WithLabelValues(o)
	}
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "yagura_columnar_" + name, Help: help}, f)
	}
	m.all = []prometheus.Collector{m.batches, m.rows, m.bytes, m.walBytes, m.walSyncs, m.corrupt, m.flushes, m.merges, m.mergeBytes, m.dropped, m.droppedRows, m.droppedParts, m.deletions, m.snapshots, m.rowsLost,
		gauge("memtable_bytes", "Uncompressed bytes in memory tables.", func() float64 { return float64(s.memBytes()) }),
		gauge("parts", "Parts on disk.", func() float64 { return float64(s.partCount()) }),
		gauge("disk_bytes", "Bytes of parts and write-ahead log on disk.", func() float64 { return float64(s.diskBytes()) }),
		gauge("streams", "Distinct streams.", func() float64 { return float64(s.registry.len()) }),
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			for _, done := range m.all[:i] {
				r.Unregister(done)
			}
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// unregister lets a store that is opened again register anew.
func (m *metrics) unregister(r prometheus.Registerer) {
	for _, c := range m.all {
		r.Unregister(c)
	}
}

// The outcomes of a batch.
const (
	outcomeStored    = "stored"
	outcomeDuplicate = "duplicate"
	outcomeFull      = "full"
	outcomeTooLarge  = "too_large"
	outcomeCanceled  = "canceled"
	outcomeFailed    = "failed"
)
