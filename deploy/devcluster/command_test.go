package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// devcluster runs the command in this process and returns what it printed.
func devcluster(args ...string) (stdout, stderr string, err error) {
	var out, complaints bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&complaints)
	err = cmd.ExecuteContext(context.Background())
	return out.String(), complaints.String(), err
}

func TestBadArguments(t *testing.T) {
	empty := t.TempDir()
	foreign := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(foreign, "thesis.txt"), []byte("years of work"), 0o600))
	tests := map[string]struct {
		args []string
		want string
	}{
		"unknown command":          {[]string{"fly"}, `unknown command "fly"`},
		"unknown mode":             {[]string{"up", "--dir", empty, "--mode", "cloud"}, `mode "cloud": want fleet or node`},
		"negative nodes":           {[]string{"up", "--dir", empty, "--nodes", "-1"}, "--nodes -1: must not be negative"},
		"node without name":        {[]string{"node", "add", "--dir", empty}, "accepts 1 arg"},
		"kubeconfig of nothing":    {[]string{"kubeconfig", "--dir", empty}, "no cluster here"},
		"status of nothing":        {[]string{"status", "--dir", empty}, "no cluster here"},
		"down of nothing":          {[]string{"down", "--dir", empty}, "no cluster here"},
		"kubectl of nothing":       {[]string{"kubectl", "--dir", empty, "--", "get", "pods"}, "no cluster here"},
		"reset of a foreign place": {[]string{"reset", "--dir", foreign}, "no cluster here"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := devcluster(test.args...)
			require.ErrorContains(t, err, test.want)
		})
	}
	require.FileExists(t, filepath.Join(foreign, "thesis.txt"), "reset must not delete what is not a cluster's")
}

func TestResetOfNothingIsNoError(t *testing.T) {
	_, _, err := devcluster("reset", "--dir", filepath.Join(t.TempDir(), "missing"))
	require.NoError(t, err)
}

func TestFolder(t *testing.T) {
	tests := map[string]struct {
		flag string
		env  map[string]string
		want string
	}{
		"flag":        {"/flag", map[string]string{"YAGURA_DEVCLUSTER_DIR": "/env"}, "/flag"},
		"environment": {"", map[string]string{"YAGURA_DEVCLUSTER_DIR": "/env"}, "/env"},
		"state":       {"", map[string]string{"XDG_STATE_HOME": "/state"}, "/state/yagura/devcluster"},
		"home":        {"", map[string]string{"HOME": "/home/jane"}, "/home/jane/.local/state/yagura/devcluster"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, variable := range []string{"YAGURA_DEVCLUSTER_DIR", "XDG_STATE_HOME"} {
				t.Setenv(variable, test.env[variable])
			}
			if home := test.env["HOME"]; home != "" {
				t.Setenv("HOME", home)
			}
			got, err := (&commonFlags{dir: test.flag}).folder()
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, cmd := range newCommand().Commands() {
		require.NotEmpty(t, cmd.Short, cmd.Name())
		stdout, _, err := devcluster(cmd.Name(), "--help")
		require.NoError(t, err)
		require.Contains(t, stdout, "Usage:", cmd.Name())
	}
}

func TestEmbeddedSourcesNameTheirVersion(t *testing.T) {
	builder, err := newBuilder()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(builder.Version(), "v1."), builder.Version())
}

func TestParseTaint(t *testing.T) {
	for text, want := range map[string]corev1.Taint{
		"gpu=a100:NoSchedule": {Key: "gpu", Value: "a100", Effect: corev1.TaintEffectNoSchedule},
		"spare:NoExecute":     {Key: "spare", Effect: corev1.TaintEffectNoExecute},
	} {
		got, err := parseTaint(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "gpu", "gpu=a100", "gpu=a100:Never", ":NoSchedule"} {
		_, err := parseTaint(text)
		require.Error(t, err, text)
	}
}
