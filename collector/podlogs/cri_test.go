package podlogs

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseCRI(t *testing.T) {
	at := time.Date(2027, 1, 2, 3, 4, 5, 678901234, time.UTC).UnixNano()
	for name, c := range map[string]struct {
		line string
		want criLine
	}{
		"full":                 {"2027-01-02T03:04:05.678901234Z stdout F the text", criLine{at, stdout, false, []byte("the text")}},
		"piece":                {"2027-01-02T03:04:05.678901234Z stderr P the ", criLine{at, stderr, true, []byte("the ")}},
		"with an offset":       {"2027-01-02T04:04:05.678901234+01:00 stdout F x", criLine{at, stdout, false, []byte("x")}},
		"more tags":            {"2027-01-02T03:04:05.678901234Z stdout F:later x", criLine{at, stdout, false, []byte("x")}},
		"no text":              {"2027-01-02T03:04:05.678901234Z stdout F ", criLine{at, stdout, false, []byte{}}},
		"no space before none": {"2027-01-02T03:04:05.678901234Z stdout F", criLine{at, stdout, false, nil}},
		"spaces in text":       {"2027-01-02T03:04:05.678901234Z stdout F  two  ", criLine{at, stdout, false, []byte(" two  ")}},
	} {
		got, err := parseCRI([]byte(c.line))
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	for _, bad := range []string{
		"", " ", "text", "2027-01-02T03:04:05Z", "2027-01-02T03:04:05Z stdout", "2027-01-02T03:04:05Z stdin F x",
		"2027-01-02T03:04:05Z stdout Q x", "2027-13-02T03:04:05Z stdout F x", "yesterday stdout F x",
		`{"log":"x","stream":"stdout","time":"2027-01-02T03:04:05Z"}`,
	} {
		_, err := parseCRI([]byte(bad))
		require.ErrorIs(t, err, errNotCRI, bad)
	}
}

func FuzzParseCRI(f *testing.F) {
	f.Add([]byte("2027-01-02T03:04:05.678901234Z stdout F the text"))
	f.Add([]byte("2027-01-02T03:04:05.678901234Z stderr P:x \xff"))
	f.Add([]byte("2027-01-02T03:04:05Z  F "))
	f.Fuzz(func(t *testing.T, line []byte) {
		l, err := parseCRI(line)
		if err != nil {
			return
		}
		require.True(t, bytes.HasSuffix(line, l.text))
		require.Less(t, l.stream, streams)
	})
}

func FuzzPosition(f *testing.F) {
	f.Add([]byte(`{"offset":12,"tail":99,"pieces":{"stdout":3}}`))
	f.Add([]byte(`{"offset":-1}`))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		p, err := decodePosition(encoded)
		if err != nil {
			return
		}
		again, err := decodePosition(p.encode())
		require.NoError(t, err)
		if len(p.Pieces) == 0 {
			p.Pieces = nil
		}
		require.Equal(t, p, again)
	})
}

func TestNames(t *testing.T) {
	o, ok := podFolder("shop_checkout-5bf8799d98-jx47p_93a99fc6-f43b-44fd-ae92-f1d8e79639ba")
	require.True(t, ok)
	require.Equal(t, origin{namespace: "shop", pod: "checkout-5bf8799d98-jx47p", uid: "93a99fc6-f43b-44fd-ae92-f1d8e79639ba"}, o)
	for _, bad := range []string{"", "lost+found", "a_b", "a__c", "a_b_c_d"} {
		_, ok := podFolder(bad)
		require.False(t, ok, bad)
	}
	for name, want := range map[string]struct {
		restarts    string
		rotated, ok bool
	}{
		"0.log":                        {"0", false, true},
		"12.log":                       {"12", false, true},
		"0.log.20240416-151044":        {"0", true, true},
		"0.log.20240416-151044.gz":     {"", false, false},
		"0.log.20240416-151044.gz.tmp": {"", false, false},
		"0.log.tmp":                    {"", false, false},
		"0.log.":                       {"", false, false},
		"log":                          {"", false, false},
		".log":                         {"", false, false},
		"x.log":                        {"", false, false},
	} {
		restarts, rotated, ok := containerFile(name)
		require.Equal(t, want, struct {
			restarts    string
			rotated, ok bool
		}{restarts, rotated, ok}, name)
	}
}

func TestAppendTailKeepsTheLastBytes(t *testing.T) {
	var all, tail []byte
	for i := range 200 {
		text := bytes.Repeat([]byte{byte(i)}, i*7%311)
		all = append(all, text...)
		tail = appendTail(tail, text)
		require.Equal(t, string(all[max(0, len(all)-tailBytes):]), string(tail))
	}
}

func TestSourceNames(t *testing.T) {
	id := fileID{device: 0xfe01, inode: 1 << 63}
	for _, plain := range []bool{true, false} {
		got, isPlain, ok := parseSource(id.source(plain))
		require.True(t, ok)
		require.Equal(t, plain, isPlain)
		require.Equal(t, id, got)
	}
	for _, bad := range []string{"", "file:", "file:1", "pod:1", "file:x:1", "1:2", "file:1:2:3"} {
		_, _, ok := parseSource(bad)
		require.False(t, ok, bad)
	}
}
