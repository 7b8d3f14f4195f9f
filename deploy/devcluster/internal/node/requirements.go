package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages is how Debian and Ubuntu name what a node needs.
const packages = "containerd runc containernetworking-plugins nftables iptables"

// plugins are the CNI plugins that a node uses.
var plugins = []string{"bridge", "host-local", "loopback"}

// FindTools looks for the programs that a node needs: in the folder extra, if
// it is not empty, in PATH and in the system's own folders. The folder of the
// CNI plugins may be given by YAGURA_DEVCLUSTER_CNI. Its error names everything
// that is missing.
func FindTools(extra string) (Tools, error) {
	var missing []string
	find := func(name string) string {
		for _, dir := range searchPath(extra) {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
		missing = append(missing, name)
		return ""
	}
	tools := Tools{Containerd: find("containerd"), Ctr: find("ctr")}
	for _, name := range []string{"runc", "containerd-shim-runc-v2", "nft", "mount", "umount"} {
		find(name)
	}
	var err error
	if tools.CNI, err = findPlugins(); err != nil {
		missing = append(missing, err.Error())
	}
	if len(missing) > 0 {
		return Tools{}, fmt.Errorf("real nodes need programs that are missing: %s; on Debian and Ubuntu: apt-get install --no-install-recommends %s",
			strings.Join(missing, ", "), packages)
	}
	return tools, nil
}

// searchPath returns the folders in which a node's programs are looked for.
func searchPath(extra string) []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if extra != "" {
		dirs = append([]string{extra}, dirs...)
	}
	return append(dirs, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
}

func findPlugins() (string, error) {
	dirs := []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}
	if dir := os.Getenv("YAGURA_DEVCLUSTER_CNI"); dir != "" {
		dirs = []string{dir}
	}
	for _, dir := range dirs {
		complete := true
		for _, plugin := range plugins {
			if _, err := exec.LookPath(filepath.Join(dir, plugin)); err != nil {
				complete = false
			}
		}
		if complete {
			return dir, nil
		}
	}
	return "", errors.New("CNI plugins " + strings.Join(plugins, ", ") + " in " + strings.Join(dirs, " or ") +
		" (YAGURA_DEVCLUSTER_CNI names another folder)")
}
