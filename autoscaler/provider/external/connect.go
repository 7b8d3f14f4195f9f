package external

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// maxAnswer bounds an answer in bytes: some thousands of instances with their errors.
const maxAnswer = 16 << 20

// dial connects when the first call is made.
func dial(cfg Config) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if cfg.TLS.on() {
		config, err := cfg.TLS.load()
		if err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(config)
	}
	// Retries are ours to decide: one that the connection made by itself could buy twice.
	return grpc.NewClient(cfg.Address, grpc.WithTransportCredentials(creds), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)), grpc.WithUserAgent("yagura-autoscaler"))
}

func (t TLSConfig) load() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("read tls.ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls.ca: %s has no certificate", t.CA)
		}
	}
	if t.Cert != "" {
		// Read anew for each connection: certificates are renewed while the process runs.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
			if err != nil {
				return nil, fmt.Errorf("read tls.cert and tls.key: %w", err)
			}
			return &pair, nil
		}
	}
	return config, nil
}
