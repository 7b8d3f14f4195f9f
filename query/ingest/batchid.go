package ingest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/yagura-dev/yagura/query/columnar"
	"github.com/yagura-dev/yagura/query/metrics"
)

// BatchHeader carries the id of a request's batch, so that a request that is sent
// again is stored once: <collector>/<stream>/<sequence>. The same name in lower
// case is the gRPC metadata key.
const BatchHeader = "Yagura-Batch"

// maxBatchName bounds a collector's or stream's name in the header.
const maxBatchName = 128

// ParseBatchID reads the value of BatchHeader. An empty value is the zero id.
func ParseBatchID(s string) (columnar.BatchID, error) {
	if s == "" {
		return columnar.BatchID{}, nil
	}
	bad := func(format string, args ...any) (columnar.BatchID, error) {
		return columnar.BatchID{}, fmt.Errorf("%s: %s; want <collector>/<stream>/<sequence>", BatchHeader, fmt.Sprintf(format, args...))
	}
	parts := strings.Split(s, "/")
	if len(parts) != 3 {
		return bad("%d parts", len(parts))
	}
	for i, what := range []string{"collector", "stream"} {
		if !validBatchName(parts[i]) {
			return bad("the %s must be 1 to %d letters, digits, dots, dashes or underscores", what, maxBatchName)
		}
	}
	seq := parts[2]
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || n == 0 || n > metrics.MaxSequence || strconv.FormatUint(n, 10) != seq {
		return bad("the sequence must be a decimal number from 1 to %d", uint64(metrics.MaxSequence))
	}
	return columnar.BatchID{Collector: parts[0], Stream: parts[1], Sequence: n}, nil
}

func validBatchName(s string) bool {
	if s == "" || len(s) > maxBatchName {
		return false
	}
	for i := range len(s) {
		c := s[i]
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_'
		if !ok {
			return false
		}
	}
	return true
}
