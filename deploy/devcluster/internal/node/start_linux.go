package node

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/image"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

// stopPatience is how long a node's processes may take to end when the node is
// shut down; the first process gives them a little less.
const stopPatience = 8 * time.Second

// Config describes the real nodes of one cluster.
type Config struct {
	// Dir is the cluster's folder. A node's disk is Dir/nodes/NAME.
	Dir string
	// Bin is the folder with the programs, Self this program.
	Bin, Self string
	// Tools are the container runtime's programs.
	Tools Tools
	// Table records the processes.
	Table process.Table
}

// nodeDir returns the folder of a node.
func (c Config) nodeDir(name string) string { return filepath.Join(c.Dir, "nodes", name) }

// images returns the folder of archives that every node imports when it starts.
func (c Config) images() string { return filepath.Join(c.Dir, "images") }

// cgroup returns the name of a node's cgroup, which two clusters with equal
// node names must not share.
func (c Config) cgroup(name string) string {
	sum := sha256.Sum256([]byte(c.Dir))
	return "yagura-" + hex.EncodeToString(sum[:4]) + "-" + name
}

// CheckHost returns an error when real nodes cannot run here.
func CheckHost() error {
	if os.Geteuid() != 0 {
		return errors.New("real nodes need root: they have namespaces and cgroups of their own")
	}
	_, err := hierarchies()
	return err
}

// StartGateway starts the gateway on a port of the host's loopback, unless it
// runs, and returns the file of the cluster's network namespace once its
// network is there.
func StartGateway(ctx context.Context, c Config, port int) (netNS string, err error) {
	record, found, err := c.Table.Get(Gateway)
	if err != nil {
		return "", err
	}
	if !found || !record.Alive() {
		if record, err = c.startGateway(port); err != nil {
			return "", fmt.Errorf("start gateway: %w", err)
		}
	}
	err = c.Table.WaitFor(ctx, []string{Gateway}, func(context.Context) (bool, error) { return networkReady(record.PID) })
	if err != nil {
		return "", fmt.Errorf("wait for the cluster's network: %w", err)
	}
	return NetNSFile(record.PID), nil
}

func (c Config) startGateway(port int) (process.Record, error) {
	// Opened here, in the host's network: a socket stays where it was made.
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return process.Record{}, err
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return process.Record{}, err
	}
	defer file.Close()
	return c.Table.Start(process.Spec{
		Name:  Gateway,
		Path:  c.Self,
		Args:  []string{"gateway", net.JoinHostPort(ControlPlaneAddress.String(), strconv.Itoa(APIServerPort))},
		Attr:  &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET},
		Files: []*os.File{file},
	})
}

func gatewayPID(table process.Table) (int, error) {
	record, found, err := table.Get(Gateway)
	if err != nil {
		return 0, err
	}
	if !found || !record.Alive() {
		return 0, errors.New("the cluster's gateway does not run; run devcluster up")
	}
	return record.PID, nil
}

// Start gives a node power, unless it has it. One that runs programs of another
// folder than Config.Bin is shut down first. That the kubelet has registered the
// node must be waited for.
func Start(ctx context.Context, c Config, ca *pki.Authority, name string, index int) error {
	record, found, err := c.Table.Get(ProcessName(name))
	if err != nil {
		return err
	}
	if found && record.Alive() && c.settings(name).Bin == c.Bin {
		return nil
	}
	if err := ShutDown(ctx, c, name); err != nil {
		return fmt.Errorf("start node %s: %w", name, err)
	}
	settings, err := c.prepare(ca, name, index)
	if err != nil {
		return fmt.Errorf("start node %s: %w", name, err)
	}
	gateway, err := gatewayPID(c.Table)
	if err != nil {
		return fmt.Errorf("start node %s: %w", name, err)
	}
	wait, release, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start node %s: %w", name, err)
	}
	defer wait.Close()
	defer release.Close()
	record, err = c.Table.Start(process.Spec{
		Name:  ProcessName(name),
		Path:  c.Self,
		Args:  []string{"node-init", settings},
		Attr:  &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC},
		Files: []*os.File{wait},
	})
	if err != nil {
		return err
	}
	if err := connect(gateway, record.PID, index); err != nil {
		return errors.Join(fmt.Errorf("start node %s: %w", name, err), c.Table.Stop(ctx, ProcessName(name), 0))
	}
	return nil
}

// prepare writes what the node is told and given, and returns the file of its
// settings.
func (c Config) prepare(ca *pki.Authority, name string, index int) (string, error) {
	dir := c.nodeDir(name)
	disk := filepath.Join(dir, "disk")
	for _, folder := range []string{disk, c.images(), filepath.Join(c.Dir, "log")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
	}
	if err := issue(filepath.Join(dir, "pki"), ca, name, index); err != nil {
		return "", err
	}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return "", fmt.Errorf("find out the machine's memory: %w", err)
	}
	data, err := json.MarshalIndent(Settings{
		Name: name, Index: index, Cgroup: c.cgroup(name),
		Bin: c.Bin, PKI: filepath.Join(dir, "pki"), Log: filepath.Join(c.Dir, "log"), Images: c.images(), Disk: disk,
		Tools:          c.Tools,
		ReservedMemory: int64(info.Totalram) * int64(info.Unit) / 2,
	}, "", "  ")
	if err != nil {
		return "", err
	}
	return c.settingsFile(name), os.WriteFile(c.settingsFile(name), data, 0o600)
}

func (c Config) settingsFile(name string) string {
	return filepath.Join(c.nodeDir(name), "settings.json")
}

// settings returns what a node was told when it was started last; nothing if
// that cannot be read.
func (c Config) settings(name string) Settings {
	var settings Settings
	if data, err := os.ReadFile(c.settingsFile(name)); err == nil {
		_ = json.Unmarshal(data, &settings)
	}
	return settings
}

// issue puts a node's certificates and kubeconfigs into a folder that the node
// sees. The authority's key is not among them.
func issue(dir string, ca *pki.Authority, name string, index int) error {
	store := pki.NewStore(dir, nil)
	server := "https://" + net.JoinHostPort(ControlPlaneAddress.String(), strconv.Itoa(APIServerPort))
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, leaf := range []pki.Leaf{
		{Name: "kubelet-" + name, CommonName: "system:node:" + name, Organizations: []string{"system:nodes"}, Usage: client},
		{Name: "kube-proxy", CommonName: "system:kube-proxy", Usage: client},
	} {
		pair, err := store.Issue(ca, leaf)
		if err != nil {
			return err
		}
		if err := pki.WriteKubeconfig(filepath.Join(dir, leaf.Name+".kubeconfig"), "devcluster", server, ca, pair); err != nil {
			return err
		}
	}
	_, err := store.Issue(ca, pki.Leaf{
		Name: "kubelet-" + name + "-server", CommonName: "system:node:" + name,
		DNSNames: []string{name}, IPs: []net.IP{Address(index).AsSlice()},
		Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	cert, err := os.ReadFile(ca.CertFile)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "ca.crt"), cert, 0o600)
}

// ShutDown ends a node's processes in order, as a machine's shutdown does.
func ShutDown(ctx context.Context, c Config, name string) error {
	return c.end(ctx, name, stopPatience)
}

// PowerOff ends a node without a chance to tell anybody.
func PowerOff(ctx context.Context, c Config, name string) error { return c.end(ctx, name, 0) }

func (c Config) end(ctx context.Context, name string, grace time.Duration) error {
	if err := c.Table.Stop(ctx, ProcessName(name), grace); err != nil {
		return err
	}
	return c.removeTraces(ctx, name)
}

// removeTraces removes what a node leaves outside of its folder when its first
// process has died; namespaces and mounts end by themselves.
func (c Config) removeTraces(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return removeCgroups(ctx, c.cgroup(name))
}

// Delete deletes a node's disk. It must have been powered off.
func Delete(c Config, name string) error {
	if err := os.RemoveAll(c.nodeDir(name)); err != nil {
		return fmt.Errorf("delete disk of node %s: %w", name, err)
	}
	return nil
}

// WritePauseImage writes the archive of the sandbox image, if missing.
func WritePauseImage(c Config) error {
	archive := filepath.Join(c.images(), "pause.tar")
	if _, err := os.Stat(archive); err == nil {
		return nil
	}
	files, entrypoint, err := image.Binaries([]string{filepath.Join(c.Bin, "pause")})
	if err != nil {
		return err
	}
	return image.WriteArchive(archive, image.Config{Name: PauseImage, Files: files, Entrypoint: entrypoint, User: "65534:65534"})
}

// LoadImage adds an image to the cluster: to those that nodes import when they
// start, and at once to the named nodes, which must be running.
func LoadImage(ctx context.Context, c Config, config image.Config, nodes []string) error {
	base, err := image.ArchiveName(config.Name)
	if err != nil {
		return err
	}
	archive := filepath.Join(c.images(), base)
	if err := image.WriteArchive(archive, config); err != nil {
		return err
	}
	for _, name := range nodes {
		record, found, err := c.Table.Get(ProcessName(name))
		if err != nil {
			return err
		}
		if !found || !record.Alive() {
			return fmt.Errorf("load image %s: node %s does not run", config.Name, name)
		}
		// The node's files can be reached from outside through its first process.
		socket := fmt.Sprintf("/proc/%d/root%s", record.PID, containerdSock)
		out, err := exec.CommandContext(ctx, c.Tools.Ctr, importArgs(socket, archive)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("load image %s into node %s: %w: %s", config.Name, name, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// Exec replaces this process by a command in the network of the control plane.
func Exec(table process.Table, argv []string) error {
	pid, err := gatewayPID(table)
	if err != nil {
		return err
	}
	return execIn([]string{"--net=" + NetNSFile(pid)}, argv)
}

// ExecInNode replaces this process by a command in all namespaces of a node.
func ExecInNode(table process.Table, name string, argv []string) error {
	record, found, err := table.Get(ProcessName(name))
	if err != nil {
		return err
	}
	if !found || !record.Alive() {
		return fmt.Errorf("node %s does not run", name)
	}
	return execIn([]string{"--target=" + strconv.Itoa(record.PID), "--all"}, argv)
}

func execIn(namespaces, argv []string) error {
	program, err := exec.LookPath("nsenter")
	if err != nil {
		return fmt.Errorf("enter namespaces: %w", err)
	}
	args := append(append([]string{"nsenter"}, namespaces...), append([]string{"--"}, argv...)...)
	if err := syscall.Exec(program, args, os.Environ()); err != nil {
		return fmt.Errorf("enter namespaces: %w", err)
	}
	return nil
}
