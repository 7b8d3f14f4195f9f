package capture_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/query/logs/capture"
)

const accessLog = `^\S+ - \S+ \[[^\]]+\] "(?P<method>\S+) (?P<path>\S+) [^"]*" (?P<status>\d{3}) (?P<size>\d+) `

func TestCompile(t *testing.T) {
	for expr, simple := range map[string]bool{
		accessLog:                        true,
		`^(?P<a>\w+)=(?P<b>[^ ]*)$`:      true,
		`^a(?P<x>b*)c`:                   true,
		`^(?P<x>a?)b`:                    true,
		`^(?P<x>\d{2,4})-`:               true,
		`^(?P<x>(\d+)-)z`:                true,
		`^é(?P<x>\d+)é`:                  true,
		`^(?P<x>\d+)\.?(?P<y>\d*)`:       false, // the first may end anywhere
		`(?P<x>\d+)`:                     false, // not anchored
		`^(?P<x>.*) `:                    false, // a space can be in the repetition
		`^(?P<x>\w+?)=`:                  false,
		`^(?P<x>a|b)`:                    true, // a class
		`^(?P<x>aa|bb)`:                  false,
		`(?i)^(?P<x>\d+)abc`:             false,
		`^(?P<x>.)a`:                     false, // a character of several bytes
		`^(?P<x>\pL+) `:                  false,
		`^(?P<x>\d+)\b`:                  false,
		`(?m)^(?P<x>\d+)$`:               false,
		`^(?P<x>(ab)+)c`:                 false,
		`^(?P<x>\d+)[\x{FFFD}-\x{FFFE}]`: false,
		`^(?P<x>`:                        false,
		`$(?P<x>a)`:                      false,
	} {
		_, ok := capture.Compile(expr)
		require.Equal(t, simple, ok, expr)
	}
}

func TestFind(t *testing.T) {
	s, ok := capture.Compile(accessLog)
	require.True(t, ok)
	require.Equal(t, []string{"method", "path", "status", "size"}, s.Names())
	got, ok := s.Find([]byte(`1.2.3.4 - - [22/Jan/2019:03:56:14 +0330] "GET /a?b HTTP/1.1" 200 5667 "-"`), nil)
	require.True(t, ok)
	require.Equal(t, [][]byte{[]byte("GET"), []byte("/a?b"), []byte("200"), []byte("5667")}, got)
	got, ok = s.Find([]byte(`1.2.3.4 - - [22/Jan/2019:03:56:14 +0330] "GET /a?b HTTP/1.1" 20 5667 "-"`), got[:1])
	require.False(t, ok)
	require.Len(t, got, 1)
}

// FuzzFind compares with the standard library.
func FuzzFind(f *testing.F) {
	f.Add(accessLog, `1.2.3.4 - - [22/Jan/2019:03:56:14 +0330] "GET /a?b HTTP/1.1" 200 5667 "-"`)
	f.Add(`^(?P<a>[^=]*)=(?P<b>.+)$`, "k\xff\xc3=v\n")
	f.Add(`^(?P<a>a{2,3})(?P<b>b?)c*$`, "aaabcc")
	f.Add(`^(?P<a>\S+) (?P<b>\d{3})`, "é€ 123")
	f.Add(`^(?P<a>[a-f]*)(?P<b>[g-z]+)(x(?P<c>\d{0}))?`, "abcghi")
	f.Add(`^\D+(?P<n>\d+)é`, "\xe2\x8212\xc3\xa9")
	f.Fuzz(func(t *testing.T, expr, line string) {
		s, ok := capture.Compile(expr)
		if !ok {
			return
		}
		re := regexp.MustCompile(expr)
		var want [][]byte
		match := re.FindSubmatch([]byte(line))
		for i, name := range re.SubexpNames() {
			if name != "" && match != nil {
				want = append(want, match[i])
			}
		}
		got, ok := s.Find([]byte(line), nil)
		require.Equal(t, match != nil, ok, "%q in %q", expr, line)
		require.Len(t, got, len(want))
		for i := range got {
			require.Equal(t, string(want[i]), string(got[i]), "%q in %q", expr, line)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	line := []byte(`54.36.149.41 - - [22/Jan/2019:03:56:14 +0330] "GET /filter/27|13%20 HTTP/1.1" 200 30577 "-" "Mozilla/5.0 (compatible; AhrefsBot/6.1; +http://ahrefs.com/robot/)" "-"`)
	s, _ := capture.Compile(accessLog)
	var groups [][]byte
	b.Run("scanner", func(b *testing.B) {
		for b.Loop() {
			groups, _ = s.Find(line, groups[:0])
		}
	})
	re := regexp.MustCompile(accessLog)
	b.Run("regexp", func(b *testing.B) {
		for b.Loop() {
			re.FindSubmatch(line)
		}
	})
}
