package admission

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

const (
	// servingLife is how long a serving certificate is valid. It is renewed when a third of it remains.
	servingLife = 365 * 24 * time.Hour
	// authorityLife is how long an authority is valid. It is followed by another one when half of it remains, so that what it has
	// signed never outlives it.
	authorityLife = 3 * servingLife
	// backdate allows for clocks that disagree.
	backdate = time.Hour
	// settle is how long an authority must have been there before something that it signed is served: by then the leader has
	// told the API server to trust it.
	settle = 10 * time.Minute
	// maxAuthorities bounds the bundle; the oldest go first.
	maxAuthorities = 4
)

// keyring is what the replicas share: the authorities that the API server is to trust, newest first, the key of the newest, and
// the certificate that is served. Its zero value is empty. A keyring is never changed; next makes another one.
//
// An authority is followed in two steps, so that no replica ever serves what the API server does not trust yet. First a new
// authority joins the bundle, while the certificate that the old one signed is still served; the leader publishes the bundle. When
// the new authority has settled, it signs a new certificate. Old authorities stay in the bundle until they expire; their keys are gone.
type keyring struct {
	authorities []*x509.Certificate
	key         *ecdsa.PrivateKey
	serving     *tls.Certificate
}

// next is the keyring that should be in use at a time by servers with the given names, and why it differs; the reason is empty
// when it does not.
func (k keyring) next(now time.Time, hosts []string) (keyring, string, error) {
	n := keyring{authorities: slices.Clone(k.authorities), key: k.key, serving: k.serving}
	n.authorities = slices.DeleteFunc(n.authorities, func(c *x509.Certificate) bool { return !now.Before(c.NotAfter) })
	why := ""
	if reason := n.authorityDue(now); reason != "" {
		authority, key, err := newAuthority(now)
		if err != nil {
			return k, "", err
		}
		n.authorities, n.key = slices.Insert(n.authorities, 0, authority), key
		n.authorities = n.authorities[:min(len(n.authorities), maxAuthorities)]
		why = reason
	}
	if reason := n.servingDue(now, hosts); reason != "" {
		names := hosts
		if n.trusted(now) {
			// Replicas of another configuration may serve under other names while they are replaced; without theirs, each would
			// write its own certificate over the other's for as long as both run.
			names = mergeHosts(hosts, n.serving.Leaf)
		}
		serving, err := newServing(now, n.authorities[0], n.key, names)
		if err != nil {
			return k, "", err
		}
		n.serving = serving
		if why != "" {
			why += "; "
		}
		why += reason
	}
	return n, why, nil
}

func (k keyring) authorityDue(now time.Time) string {
	switch {
	case len(k.authorities) == 0:
		return "there is no authority"
	case k.key == nil || !k.key.PublicKey.Equal(k.authorities[0].PublicKey):
		return "the authority's key is missing"
	case now.Before(k.authorities[0].NotBefore):
		return "the authority is not valid yet: clocks disagree"
	case k.authorities[0].NotAfter.Sub(now) < authorityLife/2:
		return "the authority is getting old"
	}
	return ""
}

// servingDue says why another certificate should be served now.
func (k keyring) servingDue(now time.Time, hosts []string) string {
	if !k.trusted(now) {
		return "no valid certificate is served"
	}
	if now.Before(k.authorities[0].NotBefore.Add(backdate + settle)) {
		return "" // the one that is served goes on until the new authority is known everywhere
	}
	leaf := k.serving.Leaf
	switch {
	case leaf.NotAfter.Sub(now) < servingLife/3:
		return "the certificate is getting old"
	case leaf.CheckSignatureFrom(k.authorities[0]) != nil:
		return "the certificate is of an earlier authority"
	}
	for _, host := range hosts {
		if leaf.VerifyHostname(host) != nil {
			return "the certificate is not for " + host
		}
	}
	return ""
}

// trusted reports whether what is served is valid now for somebody who trusts the bundle.
func (k keyring) trusted(now time.Time) bool {
	if k.serving == nil {
		return false
	}
	pool := x509.NewCertPool()
	for _, c := range k.authorities {
		pool.AddCert(c)
	}
	_, err := k.serving.Leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	return err == nil
}

// bundle is the authorities as PEM, for the API server.
func (k keyring) bundle() []byte {
	var b bytes.Buffer
	for _, c := range k.authorities {
		_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a bytes.Buffer takes everything
	}
	return b.Bytes()
}

func newAuthority(now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: fmt.Sprintf("yagura admission %s", now.UTC().Format(time.RFC3339))},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:     true, BasicConstraintsValid: true, MaxPathLenZero: true,
	}
	return sign(template, nil, nil)
}

func newServing(now time.Time, authority *x509.Certificate, key *ecdsa.PrivateKey, hosts []string) (*tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "yagura admission webhook"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(servingLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	leaf, own, err := sign(template, authority, key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: own, Leaf: leaf}, nil
}

// sign makes a key and a certificate for it, which signs itself when there is no issuer.
func sign(template, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, fmt.Errorf("make serial number: %w", err)
	}
	if issuer == nil {
		issuer, issuerKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate: %w", err)
	}
	return certificate, key, nil
}

// maxHosts bounds the names in a certificate.
const maxHosts = 16

// mergeHosts adds the names in a certificate to ours.
func mergeHosts(hosts []string, leaf *x509.Certificate) []string {
	merged := slices.Clone(hosts)
	add := func(host string) {
		if !slices.Contains(merged, host) && len(merged) < maxHosts {
			merged = append(merged, host)
		}
	}
	for _, name := range leaf.DNSNames {
		add(name)
	}
	for _, ip := range leaf.IPAddresses {
		add(ip.String())
	}
	return merged
}

// The keys of the Secret. ca.crt is the bundle, newest first; ca.key is the newest authority's key; tls.crt and tls.key are what is
// served. All are PEM.
const (
	authoritiesKey  = "ca.crt"
	authorityKeyKey = "ca.key"
	servingKey      = "tls.crt"
	servingKeyKey   = "tls.key"
)

// encode writes a keyring in the form of a Secret's data.
func (k keyring) encode() (map[string][]byte, error) {
	authorityKey, err := encodeKey(k.key)
	if err != nil {
		return nil, err
	}
	key, ok := k.serving.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the serving key is of another kind")
	}
	ownKey, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		authoritiesKey: k.bundle(), authorityKeyKey: authorityKey,
		servingKey: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.serving.Leaf.Raw}), servingKeyKey: ownKey,
	}, nil
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// decode reads a keyring from a Secret's data. Parts that are missing or broken are left out and reported; the rest is usable.
func decode(data map[string][]byte) (keyring, error) {
	var k keyring
	var problems []error
	for rest := data[authoritiesKey]; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || len(k.authorities) == maxAuthorities {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !c.IsCA {
			err = fmt.Errorf("%s is no authority", c.Subject)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", authoritiesKey, err))
			continue
		}
		k.authorities = append(k.authorities, c)
	}
	if block, _ := pem.Decode(data[authorityKeyKey]); block != nil {
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", authorityKeyKey, err))
		}
		k.key = key
	}
	if len(data[servingKey]) > 0 {
		pair, err := tls.X509KeyPair(data[servingKey], data[servingKeyKey])
		switch _, ok := pair.PrivateKey.(*ecdsa.PrivateKey); {
		case err != nil:
			problems = append(problems, fmt.Errorf("%s: %w", servingKey, err))
		case !ok:
			problems = append(problems, fmt.Errorf("%s: not an ECDSA key", servingKeyKey))
		default:
			k.serving = &pair
		}
	}
	return k, errors.Join(problems...)
}
