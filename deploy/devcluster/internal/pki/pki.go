// Package pki keeps a cluster's certificates and keys in one folder and writes
// kubeconfigs that use them.
//
// Everything is issued once and then kept: asking again returns what is there,
// unless it expires soon, does not say what is asked for, or was signed by
// another authority. All keys are ECDSA P-256.
//
// It imports nothing of devcluster; controlplane, fleet, node and cluster
// import it.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	authorityLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime      = 2 * 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is issued anew.
	renewBefore = 30 * 24 * time.Hour
)

// Store is a folder of certificates. Its methods must not be used concurrently
// on the same folder.
type Store struct {
	dir string
	now func() time.Time
}

// NewStore returns the store kept in dir, which need not exist yet. The clock
// decides what has expired; nil means time.Now.
func NewStore(dir string, now func() time.Time) Store {
	if now == nil {
		now = time.Now
	}
	return Store{dir: dir, now: now}
}

// Pair is the paths of a certificate and its key, both PEM.
type Pair struct {
	CertFile, KeyFile string
}

// Authority signs certificates.
type Authority struct {
	Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf says what a certificate is for.
type Leaf struct {
	// Name is the base name of the files.
	Name string
	// CommonName and Organizations are the user and the groups that Kubernetes
	// sees in a client certificate.
	CommonName    string
	Organizations []string
	// DNSNames and IPs are the names a server certificate is valid for.
	DNSNames []string
	IPs      []net.IP
	// Usage is what it may authenticate: servers, clients, or both.
	Usage []x509.ExtKeyUsage
}

func (s Store) pair(name string) Pair {
	return Pair{CertFile: filepath.Join(s.dir, name+".crt"), KeyFile: filepath.Join(s.dir, name+".key")}
}

// Authority returns the self-signed authority of this name, made if missing.
func (s Store) Authority(name, commonName string) (*Authority, error) {
	pair := s.pair(name)
	cert, key, err := load(pair)
	if err == nil && cert.Subject.CommonName == commonName && s.now().Add(renewBefore).Before(cert.NotAfter) {
		return &Authority{Pair: pair, cert: cert, key: key}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("load authority %s: %w", name, err)
	}
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: commonName},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	if cert, err = s.sign(pair, template, template, key, key, authorityLifetime); err != nil {
		return nil, fmt.Errorf("make authority %s: %w", name, err)
	}
	return &Authority{Pair: pair, cert: cert, key: key}, nil
}

// Issue returns a certificate as described, signed by the authority.
func (s Store) Issue(authority *Authority, leaf Leaf) (Pair, error) {
	pair := s.pair(leaf.Name)
	cert, _, err := load(pair)
	if err == nil && s.serves(cert, authority, leaf) {
		return pair, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Pair{}, fmt.Errorf("load certificate %s: %w", leaf.Name, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", leaf.Name, err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           leaf.Usage,
		DNSNames:              leaf.DNSNames,
		IPAddresses:           leaf.IPs,
		BasicConstraintsValid: true,
	}
	if _, err := s.sign(pair, template, authority.cert, key, authority.key, leafLifetime); err != nil {
		return Pair{}, fmt.Errorf("issue certificate %s: %w", leaf.Name, err)
	}
	return pair, nil
}

// serves says whether an existing certificate can be kept for leaf.
func (s Store) serves(cert *x509.Certificate, authority *Authority, leaf Leaf) bool {
	ipEqual := func(a, b net.IP) bool { return a.Equal(b) }
	return cert.CheckSignatureFrom(authority.cert) == nil &&
		s.now().Add(renewBefore).Before(cert.NotAfter) &&
		cert.Subject.CommonName == leaf.CommonName &&
		slices.Equal(cert.Subject.Organization, leaf.Organizations) &&
		slices.Equal(cert.DNSNames, leaf.DNSNames) &&
		slices.EqualFunc(cert.IPAddresses, leaf.IPs, ipEqual) &&
		slices.Equal(cert.ExtKeyUsage, leaf.Usage)
}

func (s Store) sign(pair Pair, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	// A little in the past, for clocks that are set back.
	template.NotBefore = s.now().Add(-time.Hour)
	template.NotAfter = s.now().Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if err := writeKey(pair.KeyFile, key); err != nil {
		return nil, err
	}
	return cert, writePEM(pair.CertFile, "CERTIFICATE", der)
}

// SigningKey returns the paths of a private and a public key without a
// certificate, made if missing. Kubernetes signs service account tokens so.
func (s Store) SigningKey(name string) (privateFile, publicFile string, err error) {
	privateFile, publicFile = filepath.Join(s.dir, name+".key"), filepath.Join(s.dir, name+".pub")
	key, err := loadKey(privateFile)
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			err = writeKey(privateFile, key)
		}
	}
	if err != nil {
		return "", "", fmt.Errorf("signing key %s: %w", name, err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err == nil {
		err = writePEM(publicFile, "PUBLIC KEY", der)
	}
	if err != nil {
		return "", "", fmt.Errorf("signing key %s: %w", name, err)
	}
	return privateFile, publicFile, nil
}

func load(pair Pair) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	der, err := readPEM(pair.CertFile, "CERTIFICATE")
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parse %s: %w", pair.CertFile, err)
	}
	key, err := loadKey(pair.KeyFile)
	if err != nil {
		return nil, nil, err
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		// Killed between writing the two files: as good as missing.
		return nil, nil, fmt.Errorf("key and certificate of %s differ: %w", pair.CertFile, fs.ErrNotExist)
	}
	return cert, key, nil
}

func loadKey(path string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(path, "EC PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return key, nil
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no PEM block %q", path, kind)
	}
	return block.Bytes, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// writeFile replaces a file so that a reader sees the old or the new content.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
