package podlogs

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// From says where a file begins to be read that was never read before.
type From string

const (
	// FromBeginning reads all of it.
	FromBeginning From = "beginning"
	// FromEnd reads what is written after it was found. It applies to plain files
	// that are there when the collector starts; files that appear later, and
	// container logs, are read from the beginning.
	FromEnd From = "end"
)

// Config says which files are read.
type Config struct {
	// PodsDir is the folder of the container logs; empty means none. It need not
	// exist yet.
	PodsDir string `json:"podsDir"`
	// Files are plain files, for hosts without Kubernetes.
	Files []Files `json:"files,omitempty"`
	// From is where plain files begin to be read.
	From From `json:"from"`
	// Cluster and Node are put on every line as k8s.cluster.name and k8s.node.name,
	// where not empty.
	Cluster string `json:"cluster,omitempty"`
	Node    string `json:"node,omitempty"`
	// Interval is how often files are looked at. Lines found together are shipped
	// together, so it is also the longest a line waits for company.
	Interval model.Duration `json:"interval"`
	// ScanInterval is how often folders are searched for new files. New pods are
	// noticed at once where the system tells of them.
	ScanInterval model.Duration `json:"scanInterval"`
	// MetadataWait is how long lines of a pod wait that the API server has not told
	// of yet. After it they are sent with what the path says.
	MetadataWait model.Duration `json:"metadataWait"`
	// MaxLineBytes is the size at which a longer line is split.
	MaxLineBytes units.Base2Bytes `json:"maxLineBytes"`
	// BatchBytes is the size of lines at which a batch is handed to the queue.
	BatchBytes units.Base2Bytes `json:"batchBytes"`
}

// Files are plain text files, one line a record.
type Files struct {
	// Path is a file, or a pattern as of path/filepath.Match. Compressed files that
	// it matches are left out. What is left of a file after its rotation is read even
	// if the pattern does not match its new name (which must begin with the old one);
	// but a file that was both made and rotated while no collector ran is only found
	// by a pattern that matches rotated names too, such as "app.log*".
	Path string `json:"path"`
	// ServiceName is the service.name of the lines; empty means the file's base name.
	ServiceName string `json:"serviceName,omitempty"`
}

// DefaultConfig reads every container log of the node.
func DefaultConfig() Config {
	return Config{
		PodsDir:      "/var/log/pods",
		From:         FromBeginning,
		Interval:     model.Duration(250 * time.Millisecond),
		ScanInterval: model.Duration(time.Second),
		MetadataWait: model.Duration(5 * time.Second),
		MaxLineBytes: 1 << 20,
		BatchBytes:   1 << 20,
	}
}

// Validate returns every field that makes no sense, by its name.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for i, f := range c.Files {
		if f.Path == "" {
			add("files[%d].path: is empty", i)
		} else if _, err := filepath.Match(f.Path, ""); err != nil {
			add("files[%d].path: %q: %w", i, f.Path, err)
		}
	}
	if c.From != FromBeginning && c.From != FromEnd {
		add("from: %q is neither %q nor %q", c.From, FromBeginning, FromEnd)
	}
	if c.Interval <= 0 {
		add("interval: %s is not positive", c.Interval)
	}
	if c.ScanInterval < c.Interval {
		add("scanInterval: %s is less than interval", c.ScanInterval)
	}
	if c.MetadataWait < 0 {
		add("metadataWait: %s is negative", c.MetadataWait)
	}
	if c.MaxLineBytes < 1<<10 || c.MaxLineBytes > 8<<20 {
		add("maxLineBytes: %s is not between 1KiB and 8MiB", c.MaxLineBytes)
	}
	if c.BatchBytes < 1<<10 || c.BatchBytes > 8<<20 {
		add("batchBytes: %s is not between 1KiB and 8MiB", c.BatchBytes)
	}
	return errors.Join(errs...)
}
