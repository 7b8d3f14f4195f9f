package host

import (
	"fmt"

	"github.com/prometheus/procfs/blockdevice"
)

// sectorSize is the unit of /proc/diskstats whatever the device's own is.
const sectorSize = 512

// millisecondsPerSecond is the unit of times in /proc/diskstats.
const millisecondsPerSecond = 1000

// diskMetrics are the columns of /proc/diskstats. Older kernels end before the
// discards or the flushes.
var diskMetrics = []struct {
	metric  *metric
	columns int // how many columns the kernel must have
	value   func(blockdevice.IOStats) float64
}{
	{counter("node_disk_reads_completed_total", "Reads that were completed."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.ReadIOs) }},
	{counter("node_disk_reads_merged_total", "Reads that were merged with others."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.ReadMerges) }},
	{counter("node_disk_read_bytes_total", "Bytes read."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.ReadSectors) * sectorSize }},
	{counter("node_disk_read_time_seconds_total", "Time of all reads together."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.ReadTicks) / millisecondsPerSecond }},
	{counter("node_disk_writes_completed_total", "Writes that were completed."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.WriteIOs) }},
	{counter("node_disk_writes_merged_total", "Writes that were merged with others."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.WriteMerges) }},
	{counter("node_disk_written_bytes_total", "Bytes written."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.WriteSectors) * sectorSize }},
	{counter("node_disk_write_time_seconds_total", "Time of all writes together."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.WriteTicks) / millisecondsPerSecond }},
	{gauge("node_disk_io_now", "Operations in progress."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.IOsInProgress) }},
	{counter("node_disk_io_time_seconds_total", "Time in which at least one operation was in progress."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.IOsTotalTicks) / millisecondsPerSecond }},
	{counter("node_disk_io_time_weighted_seconds_total", "Time in progress, weighted by the operations in progress."), 11,
		func(s blockdevice.IOStats) float64 { return float64(s.WeightedIOTicks) / millisecondsPerSecond }},
	{counter("node_disk_discards_completed_total", "Discards that were completed."), 15,
		func(s blockdevice.IOStats) float64 { return float64(s.DiscardIOs) }},
	{counter("node_disk_discarded_sectors_total", "Sectors discarded."), 15,
		func(s blockdevice.IOStats) float64 { return float64(s.DiscardSectors) }},
	{counter("node_disk_discard_time_seconds_total", "Time of all discards together."), 15,
		func(s blockdevice.IOStats) float64 { return float64(s.DiscardTicks) / millisecondsPerSecond }},
	{counter("node_disk_flush_requests_total", "Flushes that were completed."), 17,
		func(s blockdevice.IOStats) float64 { return float64(s.FlushRequestsCompleted) }},
	{counter("node_disk_flush_requests_time_seconds_total", "Time of all flushes together."), 17,
		func(s blockdevice.IOStats) float64 { return float64(s.TimeSpentFlushing) / millisecondsPerSecond }},
}

func newDiskSource(c *Collector) (*source, error) {
	pattern, err := ignore(c.config.IgnoreDisks)
	if err != nil {
		return nil, err
	}
	disks, err := blockdevice.NewFS(c.config.Proc, c.config.Sys)
	if err != nil {
		return nil, fmt.Errorf("open %s and %s: %w", c.config.Proc, c.config.Sys, err)
	}
	return &source{collect: func(w *writer) error {
		stats, err := disks.ProcDiskstats()
		if err != nil {
			return err
		}
		for _, disk := range stats {
			if ignored(pattern, disk.DeviceName) {
				continue
			}
			// The library counts the three columns that name the device.
			columns := disk.IoStatsCount - 3
			for _, d := range diskMetrics {
				if columns >= d.columns {
					w.add(d.metric, d.value(disk.IOStats), "device", disk.DeviceName)
				}
			}
		}
		return nil
	}}, nil
}
