package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// secondStage is the environment variable that tells the first process of a
// node that it is already in its cgroup namespace.
const secondStage = "DEVCLUSTER_NODE_STAGE=2"

// networkFD is the descriptor from which the first process learns that its
// network is there: it reads the end of the file.
const networkFD = 3

// RunInit is the first process of a node. It is started with namespaces of its
// own, as process 1 of a process namespace. It reads its Settings from the file,
// prepares what a node looks like and runs the node's services until it is told
// to stop.
func RunInit(settingsFile string) error {
	data, err := os.ReadFile(settingsFile)
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	var s Settings
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("start node: read %s: %w", settingsFile, err)
	}
	if os.Getpid() != 1 {
		return errors.New("start node: this is not the first process of a process namespace")
	}
	if os.Getenv("DEVCLUSTER_NODE_STAGE") != "2" {
		return fmt.Errorf("start node %s: %w", s.Name, enterNamespaces(s))
	}
	if err := furnish(s); err != nil {
		return fmt.Errorf("start node %s: %w", s.Name, err)
	}
	if err := serve(s); err != nil {
		return fmt.Errorf("run node %s: %w", s.Name, err)
	}
	return nil
}

// enterNamespaces waits until the network is there, enters the node's cgroup
// and a cgroup namespace that begins with it, and starts this program again. It
// returns only if that fails.
func enterNamespaces(s Settings) error {
	pipe := os.NewFile(networkFD, "network")
	if _, err := io.Copy(io.Discard, pipe); err != nil {
		return fmt.Errorf("wait for network: %w", err)
	}
	_ = pipe.Close()
	if _, err := net.InterfaceByName("eth0"); err != nil {
		return fmt.Errorf("the command that starts the node has ended before its network was there: %w", err)
	}
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if err := enterCgroups(all, s.Cgroup); err != nil {
		return err
	}
	// A thread alone can enter the namespace, but all threads must be in it: the
	// thread that starts a program becomes the whole of it.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("enter cgroup namespace: %w", err)
	}
	err = syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), secondStage))
	return fmt.Errorf("start again in cgroup namespace: %w", err)
}

// mounts collects mounts up to the first failure.
type mounts struct{ err error }

func (m *mounts) mount(source, target, kind string, flags uintptr, options string) {
	if m.err != nil {
		return
	}
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		m.err = fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
}

func (m *mounts) mkdir(path string) {
	if m.err == nil {
		m.err = os.MkdirAll(path, 0o755)
	}
}

// bind makes an open file or folder appear at target, which is created.
func (m *mounts) bind(fd int, target string) {
	m.mkdir(target)
	m.mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, "")
}

// furnish makes the machine look like one node: its own files where a node
// writes, its own view of processes, devices' settings and cgroups.
func furnish(s Settings) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	links, err := cgroupLinks()
	if err != nil {
		return err
	}
	// What is opened now can be mounted later, when other mounts hide its path.
	folders := map[string]string{insideBin: s.Bin, insidePKI: s.PKI, insideLog: s.Log, insideImages: s.Images, insideNode: s.Disk}
	open := map[string]int{}
	for target, source := range folders {
		fd, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", source, err)
		}
		defer unix.Close(fd)
		open[target] = fd
	}
	if err := unix.Sethostname([]byte(s.Name)); err != nil {
		return fmt.Errorf("set hostname: %w", err)
	}
	var m mounts
	// Nothing that is mounted here must appear on the host, but containers must
	// see what is mounted for them later.
	m.mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	m.mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
	m.mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	// This one shows the devices of the node's network.
	m.mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if m.err == nil {
		m.err = mountCgroups(all, links)
	}
	m.mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	for target, fd := range open {
		m.bind(fd, target)
	}
	m.mkdir("/run/lock")
	m.mkdir("/run/netns")
	m.mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
	furnishVar(&m)
	if m.err != nil {
		return m.err
	}
	if err := hideSysctls(); err != nil {
		return err
	}
	return writeFiles(s)
}

// furnishVar gives the node a /var of its own, whose parts are on its disk.
func furnishVar(m *mounts) {
	m.mount("tmpfs", "/var", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755")
	for _, part := range []string{"lib/kubelet", "lib/containerd", "log"} {
		source, target := filepath.Join(insideNode, part), filepath.Join("/var", part)
		m.mkdir(source)
		m.mkdir(target)
		m.mount(source, target, "", unix.MS_BIND, "")
	}
	if m.err == nil {
		m.err = os.Symlink("/run", "/var/run")
	}
}

// sysctls are settings that belong to the whole machine and that a kubelet
// insists on. It is shown files that hold the values already.
var sysctls = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

func hideSysctls() error {
	for name, value := range sysctls {
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); err != nil {
			continue // This kernel does not have it.
		}
		source := filepath.Join(inside, "sysctl", strings.ReplaceAll(name, "/", "."))
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			return fmt.Errorf("hide sysctl %s: %w", name, err)
		}
		if err := os.WriteFile(source, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("hide sysctl %s: %w", name, err)
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide sysctl %s: %w", name, err)
		}
	}
	// These belong to the network namespace. The second one makes packets that
	// stay on the pods' bridge pass the rules of Services; it exists only if the
	// kernel has br_netfilter.
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("forward packets: %w", err)
	}
	err := os.WriteFile("/proc/sys/net/bridge/bridge-nf-call-iptables", []byte("1"), 0o644)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("filter bridged packets: %w", err)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the kernel has no br_netfilter: a pod cannot reach a Service's endpoint on its own node")
	}
	return nil
}

// writeFiles writes the configuration of the node's services.
func writeFiles(s Settings) error {
	cni, err := cniConfig(s)
	if err != nil {
		return fmt.Errorf("configure pod network: %w", err)
	}
	kubelet, err := kubeletConfig(s)
	if err != nil {
		return fmt.Errorf("configure kubelet: %w", err)
	}
	for name, content := range map[string][]byte{
		"containerd.toml":            containerdConfig(s),
		"cni/10-devcluster.conflist": cni,
		"kubelet.yaml":               kubelet,
		"resolv.conf":                []byte("nameserver " + ControlPlaneAddress.String() + "\n"),
	} {
		path := filepath.Join(inside, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// serve runs the node's services until the process is told to stop.
func serve(s Settings) error {
	// containerd finds its shim, and the shim runc, by PATH.
	if err := os.Setenv("PATH", strings.Join(searchPath(insideBin), ":")); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	sup := newSupervisor()
	go sup.reap()

	go sup.keep(ctx, containerdService(s))
	if err := waitContainerd(ctx, sup, s); err != nil {
		return err
	}
	if err := importImages(ctx, sup, s); err != nil {
		return err
	}
	for _, svc := range kubernetesServices(s) {
		go sup.keep(ctx, svc)
	}
	<-ctx.Done()
	fmt.Println("stopping")
	sup.terminateAll(5 * time.Second)
	return nil
}

// waitContainerd waits until containerd answers.
func waitContainerd(ctx context.Context, sup *supervisor, s Settings) error {
	for {
		code, err := sup.run(service{"ctr", s.Tools.Ctr, []string{"--address", containerdSock, "--connect-timeout", "2s", "version"}})
		if err == nil && code == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("stopped before containerd answered")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// importImages gives containerd every image of the cluster.
func importImages(ctx context.Context, sup *supervisor, s Settings) error {
	archives, err := filepath.Glob(filepath.Join(insideImages, "*.tar"))
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		code, err := sup.run(service{"ctr", s.Tools.Ctr, importArgs(containerdSock, archive)})
		if err == nil && code != 0 {
			err = errors.New("ctr ended with status " + strconv.Itoa(code))
		}
		if err != nil {
			return fmt.Errorf("import image %s: %w", archive, err)
		}
	}
	return nil
}

// importArgs are ctr's arguments to import an archive.
func importArgs(socket, archive string) []string {
	return []string{"--address", socket, "--namespace", "k8s.io", "images", "import", archive}
}
