package node

import (
	"encoding/json"
	"fmt"
	"path"

	"sigs.k8s.io/yaml"
)

// Paths inside a node. Whatever the host has there is hidden or is the same.
const (
	// inside is where the cluster's folders appear in a node.
	inside         = "/run/devcluster"
	insideBin      = inside + "/bin"
	insidePKI      = inside + "/pki"
	insideLog      = inside + "/log"
	insideImages   = inside + "/images"
	insideNode     = inside + "/node"
	containerdSock = "/run/containerd/containerd.sock"
)

// PauseImage is the image of pod sandboxes.
const PauseImage = "docker.io/devcluster/pause:1"

// Settings are what the first process of a node is told, as JSON.
type Settings struct {
	// Name of the node and its number.
	Name  string `json:"name"`
	Index int    `json:"index"`
	// Cgroup is the name of the node's cgroup on the host, in every hierarchy.
	Cgroup string `json:"cgroup"`
	// Folders of the host.
	Bin    string `json:"bin"`
	PKI    string `json:"pki"`
	Log    string `json:"log"`
	Images string `json:"images"`
	Disk   string `json:"disk"`
	// Tools are the container runtime's programs.
	Tools Tools `json:"tools"`
	// ReservedMemory is what the kubelet leaves to others, in bytes: the
	// machine's memory is there once, however many nodes report it.
	ReservedMemory int64 `json:"reservedMemory"`
}

// Tools are programs that come from the operating system's packages.
type Tools struct {
	Containerd string `json:"containerd"`
	Ctr        string `json:"ctr"`
	// CNI is the folder of the CNI plugins.
	CNI string `json:"cni"`
}

// containerdConfig returns containerd's configuration.
func containerdConfig(s Settings) []byte {
	return fmt.Appendf(nil, `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = %q

# The default is a folder of the host.
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Without CAP_SYS_RESOURCE, which a container on a build machine may lack,
  # no process may make itself less likely to be killed.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
`, containerdSock, PauseImage, s.Tools.CNI, path.Join(inside, "cni"))
}

// cniConfig returns the network of pods: a bridge in the node, addresses from
// the node's range. What was given out is forgotten when the node loses power,
// as the pods that had it are gone.
func cniConfig(s Settings) ([]byte, error) {
	return json.MarshalIndent(map[string]any{
		"cniVersion": "1.0.0",
		"name":       "devcluster",
		"plugins": []any{map[string]any{
			"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
			"ipam": map[string]any{
				"type":    "host-local",
				"dataDir": "/run/cni-addresses",
				"ranges":  []any{[]any{map[string]any{"subnet": PodRange(s.Index).String()}}},
				"routes":  []any{map[string]any{"dst": "0.0.0.0/0"}},
			},
		}},
	}, "", "  ")
}

// kubeletConfig returns the kubelet's configuration.
func kubeletConfig(s Settings) ([]byte, error) {
	return yaml.Marshal(map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false},
			"webhook":   map[string]any{"enabled": true},
			"x509":      map[string]any{"clientCAFile": path.Join(insidePKI, "ca.crt")},
		},
		"authorization":            map[string]any{"mode": "Webhook"},
		"tlsCertFile":              path.Join(insidePKI, "kubelet-"+s.Name+"-server.crt"),
		"tlsPrivateKeyFile":        path.Join(insidePKI, "kubelet-"+s.Name+"-server.key"),
		"address":                  Address(s.Index).String(),
		"providerID":               ProviderID(s.Name),
		"containerRuntimeEndpoint": "unix://" + containerdSock,
		"imageServiceEndpoint":     "unix://" + containerdSock,
		"cgroupDriver":             "cgroupfs",
		"failCgroupV1":             false,
		"enforceNodeAllocatable":   []string{"pods"},
		"systemReserved":           map[string]string{"memory": fmt.Sprint(s.ReservedMemory)},
		"failSwapOn":               false,
		"clusterDomain":            "cluster.local",
		// There is no cluster DNS; names resolve nowhere.
		"resolvConf": path.Join(inside, "resolv.conf"),
		// The disk is shared with everything else on the machine.
		"evictionHard": map[string]string{
			"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%",
		},
		// Images cannot be pulled again.
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"serializeImagePulls":         false,
		"nodeStatusUpdateFrequency":   "5s",
		"volumePluginDir":             "/var/lib/kubelet/volumeplugins",
	})
}

// service is a program that the node keeps running.
type service struct {
	name string
	path string
	args []string
}

func containerdService(s Settings) service {
	return service{"containerd", s.Tools.Containerd, []string{"--config", path.Join(inside, "containerd.toml")}}
}

// kubernetesServices are started once containerd answers.
func kubernetesServices(s Settings) []service {
	address := Address(s.Index).String()
	return []service{
		{"kubelet", path.Join(insideBin, "kubelet"), []string{
			"--config=" + path.Join(inside, "kubelet.yaml"),
			"--kubeconfig=" + path.Join(insidePKI, "kubelet-"+s.Name+".kubeconfig"),
			"--hostname-override=" + s.Name,
			"--node-ip=" + address,
		}},
		{"kube-proxy", path.Join(insideBin, "kube-proxy"), []string{
			"--kubeconfig=" + path.Join(insidePKI, "kube-proxy.kubeconfig"),
			"--proxy-mode=nftables",
			"--cluster-cidr=" + PodCIDR.String(),
			"--hostname-override=" + s.Name,
			"--bind-address=" + address,
			// These limits are the host's, not the namespace's.
			"--conntrack-max-per-core=0",
			"--conntrack-tcp-timeout-established=0",
			"--conntrack-tcp-timeout-close-wait=0",
		}},
	}
}
