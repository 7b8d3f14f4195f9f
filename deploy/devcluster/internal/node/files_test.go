package node

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

func settings() Settings {
	return Settings{
		Name: "n2", Index: 2, Tools: Tools{Containerd: "/usr/bin/containerd", Ctr: "/usr/bin/ctr", CNI: "/usr/lib/cni"}, ReservedMemory: 12345,
	}
}

func TestAddressesDoNotOverlap(t *testing.T) {
	seen := map[netip.Addr]bool{ControlPlaneAddress: true}
	for i := 1; i <= MaxIndex; i++ {
		address, pods := Address(i), PodRange(i)
		require.False(t, seen[address], "node %d", i)
		seen[address] = true
		require.True(t, PodCIDR.Contains(pods.Addr()), "node %d", i)
		require.False(t, i > 1 && PodRange(i-1).Overlaps(pods), "node %d", i)
		// Linux refuses longer names of devices.
		require.LessOrEqual(t, len(switchPort(i)), 15)
	}
}

func TestKubeletConfig(t *testing.T) {
	data, err := kubeletConfig(settings())
	require.NoError(t, err)
	var config struct {
		Kind                 string
		Address              string
		ProviderID           string `json:"providerID"`
		TLSCertFile          string `json:"tlsCertFile"`
		CgroupDriver         string
		FailCgroupV1         *bool
		SystemReserved       map[string]string
		Authentication       struct{ Anonymous struct{ Enabled *bool } }
		ContainerRuntimeSock string `json:"containerRuntimeEndpoint"`
	}
	require.NoError(t, yaml.Unmarshal(data, &config))
	require.Equal(t, "KubeletConfiguration", config.Kind)
	require.Equal(t, "10.77.0.12", config.Address)
	require.Equal(t, "devcluster://n2", config.ProviderID)
	require.Equal(t, "/run/devcluster/pki/kubelet-n2-server.crt", config.TLSCertFile)
	require.Equal(t, "cgroupfs", config.CgroupDriver)
	require.False(t, *config.FailCgroupV1)
	require.False(t, *config.Authentication.Anonymous.Enabled)
	require.Equal(t, "12345", config.SystemReserved["memory"])
	require.Equal(t, "unix:///run/containerd/containerd.sock", config.ContainerRuntimeSock)
}

func TestPodNetworkUsesTheNodesRange(t *testing.T) {
	data, err := cniConfig(settings())
	require.NoError(t, err)
	var config struct {
		Plugins []struct {
			Type string
			IPAM struct {
				Type   string
				Ranges [][]struct{ Subnet string }
			}
		}
	}
	require.NoError(t, json.Unmarshal(data, &config))
	require.Equal(t, "bridge", config.Plugins[0].Type)
	require.Equal(t, "10.244.2.0/24", config.Plugins[0].IPAM.Ranges[0][0].Subnet)
}

func TestContainerdConfigKeepsOffTheHost(t *testing.T) {
	config := string(containerdConfig(settings()))
	require.Contains(t, config, `bin_dir = "/usr/lib/cni"`)
	require.Contains(t, config, "restrict_oom_score_adj = true")
	for line := range strings.SplitSeq(config, "\n") {
		_, path, isPath := strings.Cut(line, ` = "/`)
		if !isPath || strings.Contains(line, "bin_dir") {
			continue
		}
		require.Regexp(t, `^(run|var/lib/containerd)/?`, path, line)
	}
}

func TestFindToolsNamesAllThatIsMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("YAGURA_DEVCLUSTER_CNI", dir)
	_, err := FindTools("")
	require.ErrorContains(t, err, "apt-get install")
	require.ErrorContains(t, err, "CNI plugins bridge, host-local, loopback in "+dir)
}

func TestFindToolsLooksInTheGivenFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"containerd", "ctr", "runc", "containerd-shim-runc-v2", "nft", "mount", "umount", "bridge", "host-local", "loopback"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o700))
	}
	t.Setenv("PATH", "")
	t.Setenv("YAGURA_DEVCLUSTER_CNI", dir)
	tools, err := FindTools(dir)
	require.NoError(t, err)
	require.Equal(t, Tools{Containerd: filepath.Join(dir, "containerd"), Ctr: filepath.Join(dir, "ctr"), CNI: dir}, tools)
}
