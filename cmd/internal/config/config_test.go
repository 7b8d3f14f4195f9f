package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/yagura-dev/yagura/cmd/internal/config"
)

type section struct {
	Dir   string         `json:"dir"`
	Every model.Duration `json:"every"`
}

func TestDecode(t *testing.T) {
	defaults := section{Dir: "default", Every: model.Duration(15e9)}
	for name, tc := range map[string]struct {
		file    string
		want    section
		wantErr string // the part of the message that names the field
	}{
		"absent section keeps defaults": {file: "query: {dir: other}", want: defaults},
		"set fields replace defaults":   {file: "collector: {every: 1m}", want: section{Dir: "default", Every: model.Duration(60e9)}},
		"empty file":                    {file: "", want: defaults},
		"unknown section":               {file: "colector: {}", wantErr: `"colector"`},
		"unknown field":                 {file: "collector: {dirr: x}", wantErr: `"dirr"`},
		"duplicate field":               {file: "collector: {dir: x, dir: y}", wantErr: `"dir"`},
		"not a map":                     {file: "[1, 2]", wantErr: "top level"},
		"bad duration":                  {file: "collector: {every: soon}", wantErr: "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			got := defaults
			f, err := config.Parse("yagura.yaml", []byte(tc.file))
			if err == nil {
				err = f.Decode(config.Collector, &got)
			}
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || !strings.Contains(err.Error(), "yagura.yaml") {
					t.Fatalf("error %v, want one that names yagura.yaml and %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestReadMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	if _, err := config.Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
	if _, err := config.Read(""); err != nil {
		t.Errorf("no file: %v", err)
	}
}
