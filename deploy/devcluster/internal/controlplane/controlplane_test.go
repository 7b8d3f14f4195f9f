package controlplane_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"net/netip"

	"github.com/stretchr/testify/require"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/controlplane"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

func setup(t *testing.T, change func(*controlplane.Config)) (controlplane.Config, []process.Spec) {
	t.Helper()
	dir := t.TempDir()
	config := controlplane.Config{
		Bin: "/bin/dir", Dir: dir, PodCIDR: "10.240.0.0/12",
		Ports: controlplane.Ports{APIServer: 20001, EtcdClient: 20002, EtcdPeer: 20003, ControllerManager: 20004, Scheduler: 20005},
	}
	if change != nil {
		change(&config)
	}
	specs, credentials, err := controlplane.Setup(config, pki.NewStore(filepath.Join(dir, "pki"), nil))
	require.NoError(t, err)
	require.NotNil(t, credentials.CA)
	return config, specs
}

// flags returns the value of each flag of a process.
func flags(t *testing.T, spec process.Spec) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, arg := range spec.Args {
		name, value, _ := strings.Cut(arg, "=")
		require.NotContains(t, values, name, "%s has a flag twice", spec.Name)
		values[name] = value
	}
	return values
}

func TestEveryFileThatAFlagNamesExists(t *testing.T) {
	config, specs := setup(t, nil)
	require.Len(t, specs, 4)
	for _, spec := range specs {
		require.Equal(t, filepath.Join("/bin/dir", spec.Name), spec.Path)
		for flag, value := range flags(t, spec) {
			if !strings.HasPrefix(value, filepath.Join(config.Dir, "pki")) {
				continue
			}
			info, err := os.Stat(value)
			require.NoError(t, err, "%s %s", spec.Name, flag)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), value)
		}
	}
}

func TestLoopbackUnlessNodesMustReachIt(t *testing.T) {
	_, specs := setup(t, nil)
	local := flags(t, specs[1])
	require.Equal(t, "127.0.0.1", local["--bind-address"])
	require.Equal(t, "20001", local["--secure-port"])
	require.Equal(t, "10.240.0.0/12", flags(t, specs[2])["--cluster-cidr"])

	_, specs = setup(t, func(c *controlplane.Config) {
		c.Advertise, c.NetNS, c.PodCIDR = netip.MustParseAddr("10.77.0.1"), "/proc/1/ns/net", ""
	})
	reachable := flags(t, specs[1])
	require.Equal(t, "10.77.0.1", reachable["--advertise-address"])
	require.NotContains(t, flags(t, specs[2]), "--allocate-node-cidrs")
	for _, spec := range specs {
		require.Equal(t, "/proc/1/ns/net", spec.NetNS)
	}
	require.Contains(t, servingIPs(t, reachable["--tls-cert-file"]), "10.77.0.1")
	require.Contains(t, servingIPs(t, reachable["--tls-cert-file"]), "127.0.0.1", "the administrator comes by loopback")
}

func servingIPs(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	var ips []string
	for _, ip := range cert.IPAddresses {
		ips = append(ips, ip.String())
	}
	return ips
}

// A certificate of a cluster's user must not open etcd.
func TestEtcdHasAnAuthorityOfItsOwn(t *testing.T) {
	_, specs := setup(t, nil)
	etcd, apiServer := flags(t, specs[0]), flags(t, specs[1])
	require.Contains(t, etcd, "--client-cert-auth")
	require.Equal(t, etcd["--trusted-ca-file"], apiServer["--etcd-cafile"])
	require.NotEqual(t, etcd["--trusted-ca-file"], apiServer["--client-ca-file"])
	require.NotEqual(t, apiServer["--requestheader-client-ca-file"], apiServer["--client-ca-file"],
		"whoever has a client certificate must not speak for others")
}
