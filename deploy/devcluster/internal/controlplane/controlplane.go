// Package controlplane says how the processes of a control plane are run: etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler, one of each,
// every connection authenticated by certificates of the cluster's own
// authorities.
//
// It imports pki and process; cluster imports it.
package controlplane

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
	"github.com/yagura-dev/yagura/deploy/devcluster/internal/process"
)

// Names of the processes, in the order in which they depend on each other.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
)

// ServiceCIDR is the range of Service addresses; its first address is that of
// the API server's own Service.
const (
	ServiceCIDR      = "10.96.0.0/16"
	apiServerService = "10.96.0.1"
)

// Ports are the TCP ports that the processes listen on.
type Ports struct {
	APIServer         int `json:"apiServer"`
	EtcdClient        int `json:"etcdClient"`
	EtcdPeer          int `json:"etcdPeer"`
	ControllerManager int `json:"controllerManager"`
	Scheduler         int `json:"scheduler"`
}

// Config describes one control plane.
type Config struct {
	// Bin is the folder with the programs.
	Bin string
	// Dir is the cluster's folder; etcd's data goes to Dir/etcd, certificates
	// and kubeconfigs of the components to Dir/pki.
	Dir string
	// Ports to listen on.
	Ports Ports
	// Advertise is the address by which nodes and pods reach the API server;
	// invalid when there are none and the API server serves loopback only.
	Advertise netip.Addr
	// NetNS is the network namespace that everything runs in; empty for the
	// host's own.
	NetNS string
	// PodCIDR is the range from which nodes are given /24 pod ranges; empty when
	// nodes come with ranges of their own.
	PodCIDR string
}

// Server returns the URL of the API server for clients beside it.
func (c Config) Server() string {
	return "https://" + loopback(c.Ports.APIServer)
}

// Credentials are the parts of the cluster's certificates that others need.
type Credentials struct {
	// CA signs servers, and clients by whom they are.
	CA *pki.Authority
	// Admin is a client of group system:masters.
	Admin pki.Pair
}

// Setup issues certificates and writes kubeconfigs into the cluster's folder,
// and returns the processes to run, in order of start.
func Setup(c Config, store pki.Store) ([]process.Spec, Credentials, error) {
	m, err := issue(c, store)
	if err != nil {
		return nil, Credentials{}, fmt.Errorf("set up control plane: %w", err)
	}
	specs := []process.Spec{
		{Name: Etcd, Args: etcdArgs(c, m)},
		{Name: APIServer, Args: apiServerArgs(c, m)},
		{Name: ControllerManager, Args: controllerManagerArgs(c, m)},
		{Name: Scheduler, Args: schedulerArgs(c, m)},
	}
	for i := range specs {
		specs[i].Path = filepath.Join(c.Bin, specs[i].Name)
		specs[i].NetNS = c.NetNS
	}
	return specs, Credentials{CA: m.ca, Admin: m.admin}, nil
}

const (
	caName       = "ca"
	caCommonName = "kubernetes-ca"
)

// Authority returns the authority that signs the cluster's servers and clients.
func Authority(store pki.Store) (*pki.Authority, error) { return store.Authority(caName, caCommonName) }

// material is every file that the flags name.
type material struct {
	ca, frontProxyCA, etcdCA *pki.Authority

	etcd, apiServer, admin             pki.Pair
	etcdClient, kubelet, frontProxy    pki.Pair
	tokenPrivate, tokenPublic          string
	controllerManagerKC, schedulerKC   string
	controllerManagerTLS, schedulerTLS pki.Pair
}

func issue(c Config, store pki.Store) (material, error) {
	var m material
	var err error
	for _, authority := range []struct {
		to               **pki.Authority
		name, commonName string
	}{
		{&m.ca, caName, caCommonName},
		{&m.frontProxyCA, "front-proxy-ca", "front-proxy-ca"},
		// etcd has its own authority: it admits every client that its authority
		// signed, which must not be every user of the cluster.
		{&m.etcdCA, "etcd-ca", "etcd-ca"},
	} {
		if *authority.to, err = store.Authority(authority.name, authority.commonName); err != nil {
			return material{}, err
		}
	}

	local := []net.IP{net.IPv4(127, 0, 0, 1)}
	serving := append([]net.IP{net.ParseIP(apiServerService)}, local...)
	if c.Advertise.IsValid() {
		serving = append(serving, c.Advertise.AsSlice())
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	var controllerManager, scheduler pki.Pair
	for _, issue := range []struct {
		to        *pki.Pair
		authority *pki.Authority
		leaf      pki.Leaf
	}{
		{&m.etcd, m.etcdCA, pki.Leaf{Name: "etcd", CommonName: "etcd", DNSNames: []string{"localhost"}, IPs: local, Usage: both}},
		{&m.etcdClient, m.etcdCA, pki.Leaf{Name: "apiserver-etcd-client", CommonName: "kube-apiserver", Usage: client}},
		{&m.apiServer, m.ca, pki.Leaf{Name: "apiserver", CommonName: "kube-apiserver", IPs: serving, Usage: server, DNSNames: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}}},
		{&m.kubelet, m.ca, pki.Leaf{Name: "apiserver-kubelet-client", CommonName: KubeletClientUser, Usage: client}},
		{&m.frontProxy, m.frontProxyCA, pki.Leaf{Name: "front-proxy-client", CommonName: "front-proxy-client", Usage: client}},
		{&m.admin, m.ca, pki.Leaf{Name: "admin", CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Usage: client}},
		{&controllerManager, m.ca, pki.Leaf{Name: "controller-manager", CommonName: "system:kube-controller-manager", Usage: client}},
		{&scheduler, m.ca, pki.Leaf{Name: "scheduler", CommonName: "system:kube-scheduler", Usage: client}},
		{&m.controllerManagerTLS, m.ca, pki.Leaf{Name: "controller-manager-server", CommonName: "kube-controller-manager", DNSNames: []string{"localhost"}, IPs: local, Usage: server}},
		{&m.schedulerTLS, m.ca, pki.Leaf{Name: "scheduler-server", CommonName: "kube-scheduler", DNSNames: []string{"localhost"}, IPs: local, Usage: server}},
	} {
		if *issue.to, err = store.Issue(issue.authority, issue.leaf); err != nil {
			return material{}, err
		}
	}
	if m.tokenPrivate, m.tokenPublic, err = store.SigningKey("service-account"); err != nil {
		return material{}, err
	}
	m.controllerManagerKC = filepath.Join(c.Dir, "pki", "controller-manager.kubeconfig")
	if err := pki.WriteKubeconfig(m.controllerManagerKC, "devcluster", c.Server(), m.ca, controllerManager); err != nil {
		return material{}, err
	}
	m.schedulerKC = filepath.Join(c.Dir, "pki", "scheduler.kubeconfig")
	return m, pki.WriteKubeconfig(m.schedulerKC, "devcluster", c.Server(), m.ca, scheduler)
}

// KubeletClientUser is the user as which the API server calls kubelets. It
// needs the role system:kubelet-api-admin.
const KubeletClientUser = "kube-apiserver-kubelet-client"

func etcdArgs(c Config, m material) []string {
	client, peer := "https://"+loopback(c.Ports.EtcdClient), "https://"+loopback(c.Ports.EtcdPeer)
	return []string{
		"--name=devcluster",
		"--data-dir=" + filepath.Join(c.Dir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=devcluster=" + peer,
		"--client-cert-auth", "--trusted-ca-file=" + m.etcdCA.CertFile,
		"--cert-file=" + m.etcd.CertFile, "--key-file=" + m.etcd.KeyFile,
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + m.etcdCA.CertFile,
		"--peer-cert-file=" + m.etcd.CertFile, "--peer-key-file=" + m.etcd.KeyFile,
		"--log-level=warn",
		"--quota-backend-bytes=2147483648",
		"--auto-compaction-retention=5m",
		"--snapshot-count=10000",
	}
}

func apiServerArgs(c Config, m material) []string {
	args := []string{
		"--etcd-servers=https://" + loopback(c.Ports.EtcdClient),
		"--etcd-cafile=" + m.etcdCA.CertFile,
		"--etcd-certfile=" + m.etcdClient.CertFile, "--etcd-keyfile=" + m.etcdClient.KeyFile,
		"--secure-port=" + strconv.Itoa(c.Ports.APIServer),
		"--tls-cert-file=" + m.apiServer.CertFile, "--tls-private-key-file=" + m.apiServer.KeyFile,
		"--client-ca-file=" + m.ca.CertFile,
		"--kubelet-certificate-authority=" + m.ca.CertFile,
		"--kubelet-client-certificate=" + m.kubelet.CertFile, "--kubelet-client-key=" + m.kubelet.KeyFile,
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file=" + m.tokenPublic,
		"--service-account-signing-key-file=" + m.tokenPrivate,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		// The aggregation layer, for API servers beside this one.
		"--requestheader-client-ca-file=" + m.frontProxyCA.CertFile,
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + m.frontProxy.CertFile, "--proxy-client-key-file=" + m.frontProxy.KeyFile,
		"--profiling=false",
	}
	if c.Advertise.IsValid() {
		return append(args,
			"--bind-address=0.0.0.0", // The namespace holds nobody else.
			"--advertise-address="+c.Advertise.String(),
			"--endpoint-reconciler-type=lease",
			// There is no kube-proxy beside the API server: for an API server in a
			// pod it must go to the pod itself.
			"--enable-aggregator-routing=true")
	}
	return append(args,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		// A Service must not lead to loopback, so "kubernetes" has no endpoint. An
		// API server of this host can be joined by a Service of type ExternalName
		// for localhost.
		"--endpoint-reconciler-type=none")
}

func controllerManagerArgs(c Config, m material) []string {
	args := append(commonArgs(c.Ports.ControllerManager, m.controllerManagerKC, m.controllerManagerTLS),
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+m.tokenPrivate,
		"--root-ca-file="+m.ca.CertFile,
		"--cluster-signing-cert-file="+m.ca.CertFile, "--cluster-signing-key-file="+m.ca.KeyFile,
		"--requestheader-client-ca-file="+m.frontProxyCA.CertFile,
		"--service-cluster-ip-range="+ServiceCIDR,
		// The default is a folder of the host, which would be created.
		"--flex-volume-plugin-dir="+filepath.Join(c.Dir, "volumeplugins"),
	)
	if c.PodCIDR == "" {
		return args
	}
	return append(args, "--allocate-node-cidrs=true", "--cluster-cidr="+c.PodCIDR, "--node-cidr-mask-size=24")
}

func schedulerArgs(c Config, m material) []string {
	return commonArgs(c.Ports.Scheduler, m.schedulerKC, m.schedulerTLS)
}

// commonArgs are the flags that the API server's two clients share.
func commonArgs(port int, kubeconfig string, serving pki.Pair) []string {
	return []string{
		"--kubeconfig=" + kubeconfig,
		// These let whoever may read /metrics do so with the cluster's users.
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + serving.CertFile, "--tls-private-key-file=" + serving.KeyFile,
		// There is one of each: an election only delays a restart.
		"--leader-elect=false",
		// The defaults starve a fleet of hundreds of nodes.
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--profiling=false",
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
