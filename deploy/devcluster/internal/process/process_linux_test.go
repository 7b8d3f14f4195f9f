package process

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	rest := strings.Repeat(" 0", 18) + " 4242 0 0"
	tests := map[string]struct {
		stat, want, err string
	}{
		"plain":               {stat: "7 (etcd) S" + rest, want: "/4242"},
		"name with brackets":  {stat: "7 (a) Z (b) c) R" + rest, want: "/4242"},
		"zombie":              {stat: "7 (etcd) Z" + rest, err: "has ended"},
		"dead":                {stat: "7 (etcd) X" + rest, err: "has ended"},
		"too few fields":      {stat: "7 (etcd) S 1 2", err: "malformed"},
		"no name":             {stat: "7", err: "malformed"},
		"nothing":             {stat: "", err: "malformed"},
		"name without fields": {stat: "7 (etcd)", err: "malformed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(test.stat))
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(got, test.want), got)
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (etcd) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 8 0 4242 0 0"))
	f.Add([]byte("7 (a) Z (b) Z 1"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if got, err := parseStat(stat); err == nil && !strings.Contains(got, "/") {
			t.Fatalf("%q gave %q", stat, got)
		}
	})
}
