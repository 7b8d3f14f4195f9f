package bench

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseTarget(t *testing.T) {
	for in, want := range map[string]Target{
		"loki=http://h:1":  {Name: "loki", Kind: Loki, URL: "http://h:1", Push: "http://h:1"},
		"loki=http://h:1/": {Name: "loki", Kind: Loki, URL: "http://h:1", Push: "http://h:1"},
		"jaeger=http://h:1,push=http://h:2/,name=theirs,pid=7,dir=/d,flush=/f": {
			Name: "theirs", Kind: Jaeger, URL: "http://h:1", Push: "http://h:2", PID: 7, Dir: "/d", Flush: "/f"},
	} {
		got, err := ParseTarget(in)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"":                        "want kind=URL",
		"elastic=http://h":        "want kind=URL with one of the kinds loki,",
		"loki=h:1":                "no http or https URL",
		"loki=http://h,pid=x":     `pid "x" is no process id`,
		"loki=http://h,pid":       "has no value",
		"loki=http://h,color=red": `unknown option "color"`,
		"jaeger=http://h,push=h":  "no http or https URL",
	} {
		if _, err := ParseTarget(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q in it", in, err, want)
		}
	}
}

func TestPermuteIDs(t *testing.T) {
	const line = "id 0123456789abcdef-0123 and 12345 done"
	if got := permuteIDs(line, 0); got != line {
		t.Errorf("copy 0 is %q", got)
	}
	seen := map[string]bool{}
	for k := range maxLogCopies {
		got := permuteIDs(line, k)
		if seen[got] || len(got) != len(line) || !strings.HasSuffix(got, " and 12345 done") || got[19] != '-' {
			t.Errorf("copy %d is %q", k, got)
		}
		seen[got] = true
		digits := map[byte]bool{}
		for i := 3; i < 19; i++ {
			digits[got[i]] = true
		}
		if len(digits) != 16 {
			t.Errorf("copy %d is no permutation: %q", k, got)
		}
	}
}

func TestParseStat(t *testing.T) {
	got, err := parseStat("42 (a) strange (name) S 1 42 42 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 5")
	if err != nil || got != 1750*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "42 (x) S 1", "42 (x) S 1 2 3 4 5 6 7 8 9 10 u s 1"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}

func TestParsePeakMemory(t *testing.T) {
	got, err := parsePeakMemory("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n")
	if err != nil || got != 2<<20 {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := parsePeakMemory("Name:\tx\n"); err == nil {
		t.Error("no VmHWM is no error")
	}
}

func TestCompareLines(t *testing.T) {
	a, b, c := storedLine{1, "a"}, storedLine{2, "b"}, storedLine{2, "c"}
	for name, tc := range map[string]struct {
		want, got []storedLine
		problems  []string
	}{
		"equal in another order": {[]storedLine{a, b, c}, []storedLine{c, a, b}, nil},
		"twice, and sent twice":  {[]storedLine{a, a}, []storedLine{a, a}, nil},
		"missing":                {[]storedLine{a, b}, []storedLine{a}, []string{"missing at 1970-01-01T00:00:00.000000002Z: \"b\""}},
		"doubled":                {[]storedLine{a}, []storedLine{a, a, a}, []string{"stored 2 times too often at 1970-01-01T00:00:00.000000001Z: \"a\""}},
		"foreign":                {[]storedLine{a}, []storedLine{a, c}, []string{"never sent at 1970-01-01T00:00:00.000000002Z: \"c\""}},
	} {
		if got := compareLines(tc.want, tc.got); !reflect.DeepEqual(got, tc.problems) {
			t.Errorf("%s: %q, want %q", name, got, tc.problems)
		}
	}
}

func TestDiffers(t *testing.T) {
	for name, tc := range map[string]struct {
		got, want answer
		text      string
	}{
		"equal rows":         {answer{Rows: 2, Digest: 7}, answer{Rows: 2, Digest: 7}, ""},
		"no digest":          {answer{Rows: 2}, answer{Rows: 2, Digest: 7}, ""},
		"fewer rows":         {answer{Rows: 1}, answer{Rows: 2}, "1 rows, want 2"},
		"other rows":         {answer{Rows: 2, Digest: 8}, answer{Rows: 2, Digest: 7}, "2 rows as expected, but not the expected ones"},
		"equal groups":       {answer{Groups: map[string]float64{"a": 1e9 + 1e-3, "z": 0}}, answer{Groups: map[string]float64{"a": 1e9}}, ""},
		"a group is missing": {answer{Groups: map[string]float64{}}, answer{Groups: map[string]float64{"a": 1}}, `"a" is 0, want 1`},
		"a group too many":   {answer{Groups: map[string]float64{"a": 1, "b": 2}}, answer{Groups: map[string]float64{"a": 2}}, `"a" is 1, want 2, and 1 more groups differ`},
		"another kind":       {answer{Rows: 1}, answer{Groups: map[string]float64{}}, "another kind of answer"},
	} {
		if got := tc.got.differs(tc.want); got != tc.text {
			t.Errorf("%s: %q, want %q", name, got, tc.text)
		}
	}
}

func TestNewest(t *testing.T) {
	n := newest{limit: 3}
	for ts := range int64(10) {
		n.add(ts, "x")
	}
	want := digestLine(9, "x") + digestLine(8, "x") + digestLine(7, "x")
	if got := n.answer(); got.Rows != 3 || got.Digest != want {
		t.Errorf("%+v", got)
	}
	n.add(10, "y") // 10, 9, 8 and then 7: still determined
	n.add(10, "z")
	n.add(10, "w")
	n.add(10, "v") // four of the same time for three places
	if got := n.answer(); got.Rows != 3 || got.Digest != 0 {
		t.Errorf("an undetermined choice has a digest: %+v", got)
	}
}

func TestParseAccess(t *testing.T) {
	status, size, ok := parseAccess(`1.2.3.4 - bob [24/Aug/2024:19:43:37 +0000] "GET /a\"b HTTP/1.1" 404 512 "-" "curl"`)
	if !ok || status != "404" || size != 512 {
		t.Errorf("%s, %v, %v", status, size, ok)
	}
	if _, _, ok := parseAccess("nothing of the kind"); ok {
		t.Error("a line of another kind was read")
	}
}

func TestReportNamesTargetAndStep(t *testing.T) {
	r := Report{Results: []Result{{Data: Data{Unit: "lines"}, Targets: []TargetResult{
		{Name: "a", Error: "target a: push: refused"},
		{Name: "b", Check: &Check{Expected: 2, Found: 1, Problems: []string{"missing x"}}, Queries: []QueryResult{{Name: "q", Wrong: "1 rows, want 2"}}},
	}}}}
	err := r.Err()
	for _, want := range []string{"target a: push: refused", "target b: check: 1 of 2 lines arrived: missing x", `target b: query "q": 1 rows, want 2`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	for _, format := range Formats {
		var b strings.Builder
		if err := r.Write(&b, format); err != nil || !strings.Contains(b.String(), "1 rows, want 2") {
			t.Errorf("%s: %v: %s", format, err, &b)
		}
	}
	if err := (&Report{}).Write(&strings.Builder{}, "xml"); err == nil {
		t.Error("an unknown format is no error")
	}
}
