package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

// Config bounds what one request, one row and one tenant may bring. The limits of
// metric series are the metrics store's.
type Config struct {
	// MaxBodyBytes bounds a request's body as it is sent. Default 16 MiB.
	MaxBodyBytes int64 `json:"maxBodyBytes"`
	// MaxDecodedBytes bounds a body after decompression. Default 32 MiB.
	MaxDecodedBytes int64 `json:"maxDecodedBytes"`
	// MaxInFlightBytes bounds the memory of the requests that are being taken at
	// once: their decompressed bodies and 256 bytes for each element. Further
	// requests are told to come again. Default 256 MiB.
	MaxInFlightBytes int64 `json:"maxInFlightBytes"`
	// MaxElements is the most records, attributes, points, samples and labels of one
	// request together. Each takes far more memory than bytes in the request.
	// Default 500,000.
	MaxElements int `json:"maxElements"`
	// MaxLineBytes bounds a log line. Default 1 MiB, which
	// is where the collector splits longer ones.
	MaxLineBytes int `json:"maxLineBytes"`
	// MaxRowBytes bounds a log line or span with all its fields. Default 2 MiB.
	MaxRowBytes int `json:"maxRowBytes"`
	// MaxFields is the most fields of one log line or span. Default 512.
	MaxFields int `json:"maxFields"`
	// MaxFieldNameBytes bounds a field's name. Default 1024.
	MaxFieldNameBytes int `json:"maxFieldNameBytes"`
	// MaxLabels is the most stream labels. Default 32.
	MaxLabels int `json:"maxLabels"`
	// MaxLabelNameBytes bounds a stream label's name. Default 1024.
	MaxLabelNameBytes int `json:"maxLabelNameBytes"`
	// MaxLabelValueBytes bounds a stream label's value. Default 2048.
	MaxLabelValueBytes int `json:"maxLabelValueBytes"`
	// MaxStreamsPerTenant is the most log and span streams of one tenant (cluster
	// and namespace) within an hour. Default 20,000.
	MaxStreamsPerTenant int `json:"maxStreamsPerTenant"`
	// MaxStreams is the same over all tenants. Default 200,000.
	MaxStreams int `json:"maxStreams"`
	// MaxFutureTime is how far ahead of the clock a log line or span may be. One in
	// the far future would make its source look alive for ever. Default 10m.
	MaxFutureTime model.Duration `json:"maxFutureTime"`
	// TenantBytesPerSecond bounds how fast one tenant's logs and spans may come, and
	// TenantBurstBytes how much may come at once. 0 means no bound. Defaults 0 and
	// 16 MiB.
	TenantBytesPerSecond int64 `json:"tenantBytesPerSecond"`
	TenantBurstBytes     int64 `json:"tenantBurstBytes"`
	// MaxTenantLabels is the most tenants that get series of their own in our own
	// metrics; the others are counted together. Default 100.
	MaxTenantLabels int `json:"maxTenantLabels"`
	// DiscoverServiceName are the stream labels that a log stream without
	// service_name gets one from, the best first; unknown_service when it has none of
	// them. An empty list leaves streams as they are sent. Default: service, app,
	// application, app_name, name, app_kubernetes_io_name, container, container_name,
	// k8s_container_name, component, workload, job, k8s_job_name.
	DiscoverServiceName []string `json:"discoverServiceName"`
	// DiscoverLevel adds the structured metadata detected_level to each log line: from
	// a label or field that names one, OTLP's severity number, a key of JSON or logfmt,
	// or the first word that is a level, and else unknown. Default true.
	DiscoverLevel bool `json:"discoverLevel"`
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{
		MaxBodyBytes:        16 << 20,
		MaxDecodedBytes:     32 << 20,
		MaxInFlightBytes:    256 << 20,
		MaxElements:         500_000,
		MaxLineBytes:        1 << 20,
		MaxRowBytes:         2 << 20,
		MaxFields:           512,
		MaxFieldNameBytes:   1024,
		MaxLabels:           32,
		MaxLabelNameBytes:   1024,
		MaxLabelValueBytes:  2048,
		MaxStreamsPerTenant: 20_000,
		MaxStreams:          200_000,
		MaxFutureTime:       model.Duration(10 * time.Minute),
		TenantBurstBytes:    16 << 20,
		MaxTenantLabels:     100,
		DiscoverServiceName: defaultServiceLabels(),
		DiscoverLevel:       true,
	}
}

// Validate reports every field that makes no sense, by its path.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		v    int64
	}{
		{"maxBodyBytes", c.MaxBodyBytes},
		{"maxDecodedBytes", c.MaxDecodedBytes},
		{"maxInFlightBytes", c.MaxInFlightBytes},
		{"maxElements", int64(c.MaxElements)},
		{"maxLineBytes", int64(c.MaxLineBytes)},
		{"maxRowBytes", int64(c.MaxRowBytes)},
		{"maxFields", int64(c.MaxFields)},
		{"maxFieldNameBytes", int64(c.MaxFieldNameBytes)},
		{"maxLabels", int64(c.MaxLabels)},
		{"maxLabelNameBytes", int64(c.MaxLabelNameBytes)},
		{"maxLabelValueBytes", int64(c.MaxLabelValueBytes)},
		{"maxStreamsPerTenant", int64(c.MaxStreamsPerTenant)},
		{"maxStreams", int64(c.MaxStreams)},
		{"maxFutureTime", int64(c.MaxFutureTime)},
		{"tenantBurstBytes", c.TenantBurstBytes},
		{"maxTenantLabels", int64(c.MaxTenantLabels)},
	} {
		if f.v <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be greater than zero, is %d", f.name, f.v))
		}
	}
	if c.TenantBytesPerSecond < 0 {
		errs = append(errs, fmt.Errorf("tenantBytesPerSecond: must not be negative, is %d", c.TenantBytesPerSecond))
	}
	if most := 2*c.MaxDecodedBytes + int64(c.MaxElements)*elementBytes; c.MaxInFlightBytes < most {
		errs = append(errs, fmt.Errorf("maxInFlightBytes: %d is less than twice maxDecodedBytes and %d bytes for each of maxElements (%d), so the largest request could never be taken", c.MaxInFlightBytes, elementBytes, most))
	}
	if c.TenantBytesPerSecond > 0 && c.TenantBurstBytes < c.MaxDecodedBytes/4 {
		// A request larger than the burst would be refused for ever.
		errs = append(errs, fmt.Errorf("tenantBurstBytes: %d is less than a quarter of maxDecodedBytes", c.TenantBurstBytes))
	}
	return errors.Join(errs...)
}
