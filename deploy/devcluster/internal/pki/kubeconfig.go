package pki

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// WriteKubeconfig writes a kubeconfig for one client of one API server. It
// holds the certificates themselves, so that the file can be copied elsewhere.
// The context is named after the cluster.
func WriteKubeconfig(path, cluster, server string, authority *Authority, client Pair) error {
	config := clientcmdapi.NewConfig()
	var err error
	entry := &clientcmdapi.Cluster{Server: server}
	if entry.CertificateAuthorityData, err = os.ReadFile(authority.CertFile); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	user := &clientcmdapi.AuthInfo{}
	if user.ClientCertificateData, err = os.ReadFile(client.CertFile); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	if user.ClientKeyData, err = os.ReadFile(client.KeyFile); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	config.Clusters[cluster] = entry
	config.AuthInfos[cluster] = user
	config.Contexts[cluster] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: cluster}
	config.CurrentContext = cluster
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	if err := writeFile(path, data); err != nil {
		return fmt.Errorf("write kubeconfig %s: %w", path, err)
	}
	return nil
}
