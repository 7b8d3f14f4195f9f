package pki_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/pki"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func storeAt(dir string, now time.Time) pki.Store {
	return pki.NewStore(dir, func() time.Time { return now })
}

func serverLeaf() pki.Leaf {
	return pki.Leaf{
		Name: "server", CommonName: "server", DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
		Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func clientLeaf() pki.Leaf {
	return pki.Leaf{
		Name: "client", CommonName: "jane", Organizations: []string{"system:masters"},
		Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	block, _ := pem.Decode(data)
	require.NotNil(t, block)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	return cert
}

// A TLS server with an issued certificate knows a client whose kubeconfig was
// written from another one, as the API server does.
func TestKubeconfigAuthenticatesBothSides(t *testing.T) {
	dir := t.TempDir()
	store := pki.NewStore(dir, nil)
	ca, err := store.Authority("ca", "test-ca")
	require.NoError(t, err)
	serving, err := store.Issue(ca, serverLeaf())
	require.NoError(t, err)
	client, err := store.Issue(ca, clientLeaf())
	require.NoError(t, err)

	pair, err := tls.LoadX509KeyPair(serving.CertFile, serving.KeyFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(readCert(t, ca.CertFile))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := r.TLS.PeerCertificates[0].Subject
		_, _ = io.WriteString(w, subject.CommonName+" of "+subject.Organization[0])
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	server.StartTLS()
	defer server.Close()

	path := filepath.Join(dir, "kubeconfig")
	require.NoError(t, pki.WriteKubeconfig(path, "devcluster", server.URL, ca, client))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds a key")

	config, err := clientcmd.BuildConfigFromFlags("", path)
	require.NoError(t, err)
	httpClient, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, config.Host, nil)
	require.NoError(t, err)
	response, err := httpClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "jane of system:masters", string(body))
}

func TestCertificatesAreKeptUntilTheyMustChange(t *testing.T) {
	issue := func(t *testing.T, dir string, now time.Time, leaf pki.Leaf) []byte {
		t.Helper()
		store := storeAt(dir, now)
		ca, err := store.Authority("ca", "test-ca")
		require.NoError(t, err)
		pair, err := store.Issue(ca, leaf)
		require.NoError(t, err)
		require.NoError(t, readCert(t, pair.CertFile).CheckSignatureFrom(readCert(t, ca.CertFile)))
		data, err := os.ReadFile(pair.CertFile)
		require.NoError(t, err)
		return data
	}
	tests := map[string]struct {
		later  time.Duration
		change func(*pki.Leaf)
		damage func(t *testing.T, dir string)
		kept   bool
	}{
		"nothing changed":     {kept: true},
		"a year later":        {later: 365 * 24 * time.Hour, kept: true},
		"expires in a week":   {later: (2*365 - 7) * 24 * time.Hour},
		"expired":             {later: 3 * 365 * 24 * time.Hour},
		"authority expires":   {later: 10 * 365 * 24 * time.Hour},
		"another address":     {change: func(l *pki.Leaf) { l.IPs = append(l.IPs, net.IPv4(10, 0, 0, 1)) }},
		"another name":        {change: func(l *pki.Leaf) { l.DNSNames = []string{"other"} }},
		"another common name": {change: func(l *pki.Leaf) { l.CommonName = "other" }},
		"another group":       {change: func(l *pki.Leaf) { l.Organizations = []string{"other"} }},
		"another usage":       {change: func(l *pki.Leaf) { l.Usage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }},
		"key missing": {damage: func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "server.key")))
		}},
		"authority missing": {damage: func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, "ca.crt")))
		}},
		"another's key": {damage: func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, "ca.key"))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "server.key"), data, 0o600))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := issue(t, dir, start, serverLeaf())
			leaf := serverLeaf()
			if test.change != nil {
				test.change(&leaf)
			}
			if test.damage != nil {
				test.damage(t, dir)
			}
			after := issue(t, dir, start.Add(test.later), leaf)
			require.Equal(t, test.kept, string(before) == string(after))
		})
	}
}

func TestDamagedFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), []byte("not PEM"), 0o600))
	_, err := pki.NewStore(dir, nil).Authority("ca", "test-ca")
	require.ErrorContains(t, err, "ca.crt")
}

func TestSigningKeyIsKept(t *testing.T) {
	store := pki.NewStore(t.TempDir(), nil)
	private, public, err := store.SigningKey("service-account")
	require.NoError(t, err)
	before, err := os.ReadFile(public)
	require.NoError(t, err)
	info, err := os.Stat(private)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, _, err = store.SigningKey("service-account")
	require.NoError(t, err)
	after, err := os.ReadFile(public)
	require.NoError(t, err)
	require.Equal(t, before, after)
}
