package ship

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/collector/queue"
)

// Config says where to send records.
type Config struct {
	// URL is the receiver: the paths of the streams are appended to it.
	URL string `json:"url"`
	// Headers are sent with every request, for example Authorization.
	Headers map[string]string `json:"headers,omitempty"`
	// Timeout bounds one request, from connecting to the end of the answer.
	Timeout model.Duration `json:"timeout"`
	// MinBackoff and MaxBackoff bound the wait before a request is repeated.
	MinBackoff model.Duration `json:"minBackoff"`
	MaxBackoff model.Duration `json:"maxBackoff"`
	// GiveUpAfter is how long a record is repeated that the receiver answers with an
	// error that may or may not pass, such as 500. After that the record is taken to
	// be its cause, and dropped. It does not apply to a receiver that is away or
	// refuses the collector as such; there only the age limit of the queue ends it.
	GiveUpAfter model.Duration `json:"giveUpAfter"`
	// Streams overrides where single streams go.
	Streams map[queue.Stream]StreamConfig `json:"streams,omitempty"`
}

// StreamConfig is the destination of one stream.
type StreamConfig struct {
	// URL is the whole address that requests are sent to.
	URL string `json:"url"`
	// Headers are sent in place of those for all streams.
	Headers map[string]string `json:"headers,omitempty"`
}

// DefaultConfig sends everything to a query service on this host.
func DefaultConfig() Config {
	return Config{
		URL:         "http://127.0.0.1:9428",
		Timeout:     model.Duration(30 * time.Second),
		MinBackoff:  model.Duration(100 * time.Millisecond),
		MaxBackoff:  model.Duration(10 * time.Second),
		GiveUpAfter: model.Duration(15 * time.Minute),
	}
}

// protocolHeaders belong to the protocol; a configured value would break it.
var protocolHeaders = []string{
	"Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", batchHeader, remoteWriteVersionHeader,
}

// Validate returns every field that makes no sense, by its name.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	checkURL := func(field, value string) {
		u, err := url.Parse(value)
		switch {
		case err != nil:
			add("%s: %w", field, err)
		case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
			add("%s: %q is not an http or https URL with a host", field, value)
		}
	}
	checkHeaders := func(field string, headers map[string]string) {
		for name, value := range headers {
			if slices.ContainsFunc(protocolHeaders, func(p string) bool { return strings.EqualFold(p, name) }) {
				add("%s: %s is set by the protocol", field, name)
			}
			if name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n") {
				add("%s: %q is not a header", field, name)
			}
		}
	}
	checkURL("url", c.URL)
	checkHeaders("headers", c.Headers)
	for s, sc := range c.Streams {
		field := "streams." + string(s)
		if !slices.Contains(queue.Streams(), s) {
			add("%s: there is no such stream", field)
		}
		checkURL(field+".url", sc.URL)
		checkHeaders(field+".headers", sc.Headers)
	}
	if c.Timeout <= 0 {
		add("timeout: %s is not positive", c.Timeout)
	}
	if c.MinBackoff <= 0 {
		add("minBackoff: %s is not positive", c.MinBackoff)
	}
	if c.MaxBackoff < c.MinBackoff {
		add("maxBackoff: %s is less than minBackoff", c.MaxBackoff)
	}
	if c.GiveUpAfter <= 0 {
		add("giveUpAfter: %s is not positive", c.GiveUpAfter)
	}
	return errors.Join(errs...)
}

// destination is where and how the records of one stream are sent.
type destination struct {
	url    string
	header http.Header
}

const (
	batchHeader              = "Yagura-Batch"
	remoteWriteVersionHeader = "X-Prometheus-Remote-Write-Version"
)

func (c Config) destination(s queue.Stream, userAgent string) (destination, error) {
	d := destination{header: http.Header{}}
	headers := c.Headers
	if sc, ok := c.Streams[s]; ok {
		d.url = sc.URL
		if sc.Headers != nil {
			headers = sc.Headers
		}
	} else {
		u, err := url.JoinPath(c.URL, paths[s])
		if err != nil {
			return destination{}, fmt.Errorf("url: %w", err)
		}
		d.url = u
	}
	d.header.Set("User-Agent", userAgent)
	for name, value := range headers {
		d.header.Set(name, value)
	}
	if s == queue.Metrics {
		d.header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
		d.header.Set("Content-Encoding", "snappy")
		d.header.Set(remoteWriteVersionHeader, "2.0.0")
	} else {
		d.header.Set("Content-Type", "application/x-protobuf")
		d.header.Set("Content-Encoding", "gzip")
	}
	return d, nil
}

var paths = map[queue.Stream]string{
	queue.Logs:        "/v1/logs",
	queue.Traces:      "/v1/traces",
	queue.OTLPMetrics: "/v1/metrics",
	queue.Metrics:     "/prometheus/api/v1/write",
}
