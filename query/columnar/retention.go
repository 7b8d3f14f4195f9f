package columnar

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Retention says what the store drops by itself, the oldest first. Each zero value
// means that nothing is dropped for that reason.
type Retention struct {
	// MaxAge is how long rows are kept that no rule matches.
	MaxAge model.Duration `json:"maxAge,omitempty"`
	// MaxBytes is the size of the data folder above which whole parts are dropped. 0
	// is nine tenths of the store's maxBytes, if that is set; negative is no bound.
	MaxBytes int64 `json:"maxBytes,omitempty"`
	// MinFreeShare is the part of the file system, from 0 to 0.9, that is to stay
	// free: below it whole parts are dropped, whoever fills the disk.
	MinFreeShare float64 `json:"minFreeShare,omitempty"`
	// Rules give streams an age of their own. The first that matches counts.
	Rules []RetentionRule `json:"rules,omitempty"`
}

// RetentionRule gives the streams that fulfil all its conditions an age. An empty
// condition matches everything.
type RetentionRule struct {
	// Table is "logs" or "spans".
	Table string `json:"table,omitempty"`
	// Cluster and Namespace are those of the stream's tenant.
	Cluster   string `json:"cluster,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// Selector is a Prometheus selector over the stream's labels: {app="web",env!~"prod|stage"}.
	Selector string `json:"selector,omitempty"`
	// MaxAge 0 keeps the rows as long as the disk bounds allow.
	MaxAge model.Duration `json:"maxAge"`
}

// maxRetentionRules bounds the rules, which each new stream is matched with.
const maxRetentionRules = 1000

func (r *Retention) validate() error {
	if r.MaxAge < 0 {
		return fmt.Errorf("retention.maxAge: %s is negative", r.MaxAge)
	}
	if !(r.MinFreeShare >= 0 && r.MinFreeShare <= 0.9) {
		return fmt.Errorf("retention.minFreeShare: %g is outside [0, 0.9]", r.MinFreeShare)
	}
	if len(r.Rules) > maxRetentionRules {
		return fmt.Errorf("retention.rules: %d are more than %d", len(r.Rules), maxRetentionRules)
	}
	_, err := r.compile()
	return err
}

// retentionRule is a RetentionRule made ready.
type retentionRule struct {
	table              Table // 0 is any
	cluster, namespace string
	matchers           []*labels.Matcher
	maxAge             time.Duration // 0 is for ever
}

// compile makes the rules ready, the default one last.
func (r *Retention) compile() ([]retentionRule, error) {
	var out []retentionRule
	for i, rule := range r.Rules {
		path := fmt.Sprintf("retention.rules[%d]", i)
		c := retentionRule{cluster: rule.Cluster, namespace: rule.Namespace, maxAge: time.Duration(rule.MaxAge)}
		switch rule.Table {
		case "":
		case Logs.String():
			c.table = Logs
		case Spans.String():
			c.table = Spans
		default:
			return nil, fmt.Errorf("%s.table: %q is neither %q nor %q", path, rule.Table, Logs, Spans)
		}
		if rule.MaxAge < 0 {
			return nil, fmt.Errorf("%s.maxAge: %s is negative", path, rule.MaxAge)
		}
		if rule.Selector != "" {
			var err error
			if c.matchers, err = parseSelector(rule.Selector); err != nil {
				return nil, fmt.Errorf("%s.selector: %w", path, err)
			}
		}
		out = append(out, c)
	}
	return append(out, retentionRule{maxAge: time.Duration(r.MaxAge)}), nil
}

func (r *retentionRule) matches(s *stream) bool {
	return (r.table == 0 || r.table == s.table) &&
		(r.cluster == "" || r.cluster == s.tenant.Cluster) &&
		(r.namespace == "" || r.namespace == s.tenant.Namespace) &&
		matchesLabels(s.labels, r.matchers)
}

// ruleOf is the index of the first rule that matches the stream.
func ruleOf(rules []retentionRule, s *stream) uint16 {
	for i := range rules[:len(rules)-1] {
		if rules[i].matches(s) {
			return uint16(i)
		}
	}
	return uint16(len(rules) - 1)
}

// parseSelector reads a selector in the syntax of Prometheus, without a metric
// name: matchers NAME OP "VALUE" with the operators = != =~ !~, split by commas.
func parseSelector(text string) ([]*labels.Matcher, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(text), "{")
	if !ok {
		return nil, errors.New("a selector begins with {")
	}
	var out []*labels.Matcher
	for {
		rest = strings.TrimSpace(rest)
		if rest == "}" {
			return out, nil
		}
		end := strings.IndexAny(rest, "=!")
		if end < 0 {
			return nil, fmt.Errorf("%q is no matcher", rest)
		}
		name := strings.TrimSpace(rest[:end])
		if quoted, err := strconv.Unquote(name); err == nil {
			name = quoted
		} else if !model.LegacyValidation.IsValidLabelName(name) {
			return nil, fmt.Errorf("%q is no label name", name)
		}
		kind, after, err := cutOperator(rest[end:])
		if err != nil {
			return nil, err
		}
		after = strings.TrimSpace(after)
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %q does not begin with a quoted string", name, after)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", name, err)
		}
		m, err := labels.NewMatcher(kind, name, value)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", name, err)
		}
		out = append(out, m)
		rest = strings.TrimSpace(after[len(quoted):])
		if next, ok := strings.CutPrefix(rest, ","); ok {
			rest = next
		} else if rest != "}" {
			return nil, fmt.Errorf("%q follows the matcher of %s; want , or }", rest, name)
		}
	}
}

func cutOperator(text string) (labels.MatchType, string, error) {
	for _, op := range []labels.MatchType{labels.MatchRegexp, labels.MatchNotRegexp, labels.MatchNotEqual, labels.MatchEqual} {
		if after, ok := strings.CutPrefix(text, op.String()); ok {
			return op, after, nil
		}
	}
	return 0, "", fmt.Errorf("%q begins with no operator", text)
}

// The reasons for which rows are dropped.
const (
	dropAge       = "age"
	dropBytes     = "bytes"
	dropFreeDisk  = "free_disk"
	dropDeletion  = "deletion"
	dropRequested = "requested" // by a call of Retain
)

// retentionPart is what the plan has to know of a part.
type retentionPart struct {
	bytes  int64
	latest int64
	// keepFrom is the least of the floors of its streams: rows at or after it count.
	keepFrom int64
}

// diskUse is what the plan has to know of the disk. All are bytes.
type diskUse struct{ used, free, total int64 }

// drop is a part that is to go, and why.
type drop struct {
	part   int // index
	reason string
}

// plan decides which parts go: those whose rows are all too old, and then, the
// oldest first, as many as the bounds on disk space ask for.
func (r *Retention) plan(parts []retentionPart, maxBytes int64, disk diskUse) []drop {
	var drops []drop
	left := make([]int, 0, len(parts))
	for i, p := range parts {
		if p.latest < p.keepFrom {
			drops = append(drops, drop{i, dropAge})
			disk.used -= p.bytes
			disk.free += p.bytes
			continue
		}
		left = append(left, i)
	}
	slices.SortStableFunc(left, func(a, b int) int { return cmp.Compare(parts[a].latest, parts[b].latest) })
	minFree := int64(r.MinFreeShare * float64(disk.total))
	for _, i := range left {
		reason := ""
		switch {
		case maxBytes > 0 && disk.used > maxBytes:
			reason = dropBytes
		case disk.free < minFree:
			reason = dropFreeDisk
		default:
			return drops
		}
		drops = append(drops, drop{i, reason})
		disk.used -= parts[i].bytes
		disk.free += parts[i].bytes
	}
	return drops
}

// maxBytes is the size above which parts go.
func (c *Config) retainedBytes() int64 {
	switch n := c.Retention.MaxBytes; {
	case n < 0:
		return 0
	case n == 0:
		return c.MaxBytes / 10 * 9
	default:
		return n
	}
}

// floors is the least timestamp that each rule keeps, by index.
func floors(rules []retentionRule, now time.Time) []int64 {
	out := make([]int64, len(rules))
	for i, r := range rules {
		out[i] = minTime
		if at := now.UnixNano(); r.maxAge > 0 && at > math.MinInt64+int64(r.maxAge) {
			out[i] = at - int64(r.maxAge)
		}
	}
	return out
}
