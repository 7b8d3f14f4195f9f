// Command yagura-devcluster-provider serves the nodes of a development cluster by cluster-autoscaler's external gRPC protocol: groups
// that grow by "devcluster node add" and shrink by "devcluster node remove". It is what gives a cluster in node mode a provider whose
// machines are real, and a small example of a server of that protocol; cluster-autoscaler itself works with it, too.
//
// It imports cmd/internal and the protocol's stubs; nothing imports it.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/cmd/internal/lifecycle"
)

func main() { lifecycle.Main(newCommand()) }

type options struct {
	config, devcluster, dir, state, listen string
	cert, key, clientCA                    string
	groups                                 []string
	log                                    lifecycle.LogFlags
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use: "yagura-devcluster-provider", Short: "Nodes of a development cluster for cluster autoscalers", Args: cobra.NoArgs,
		Example: "  yagura-devcluster-provider --dir /tmp/nodes --group workers=0:5:0.10",
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "YAML file with a list of groups")
	f.StringArrayVar(&o.groups, "group", nil, "a group NAME=MIN:MAX[:PRICE], the price in money per hour; may be repeated")
	f.StringVar(&o.devcluster, "devcluster", "bin/devcluster", "the devcluster program")
	f.StringVar(&o.dir, "dir", "", "the development cluster's folder (required)")
	f.StringVar(&o.state, "state", "", "file in which groups are remembered (default provider.json in the cluster's folder)")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8086", "address to serve on")
	f.StringVar(&o.cert, "tls-cert", "", "certificate in PEM; without one, connections are not encrypted")
	f.StringVar(&o.key, "tls-key", "", "the certificate's key")
	f.StringVar(&o.clientCA, "tls-client-ca", "", "what clients' certificates must be signed by; without it, anybody may ask")
	o.log.Register(f)
	return cmd
}

func (o options) run(ctx context.Context) error {
	logger, err := o.log.Logger(os.Stderr)
	if err != nil {
		return err
	}
	if o.dir == "" {
		return errors.New("--dir: must be set")
	}
	groups, err := o.readGroups()
	if err != nil {
		return err
	}
	creds, err := o.credentials()
	if err != nil {
		return err
	}
	if o.state == "" {
		o.state = filepath.Join(o.dir, "provider.json")
	}
	server, err := newServer(groups, o.state, &devcluster{program: o.devcluster, dir: o.dir}, logger)
	if err != nil {
		return err
	}
	lis, err := lifecycle.Listen(ctx, "listen", o.listen)
	if err != nil {
		return err
	}
	logger.Info("serving", "address", lis.Addr().String(), "groups", len(groups))
	return lifecycle.Group{Logger: logger, Stages: [][]lifecycle.Part{
		{{Name: "machines", Run: server.work}},
		{{Name: "grpc", Run: func(ctx context.Context) error { return serve(ctx, lis, creds, server, logger) }}},
	}}.Run(ctx)
}

func serve(ctx context.Context, lis net.Listener, creds credentials.TransportCredentials, server *server, logger *slog.Logger) error {
	s := grpc.NewServer(grpc.Creds(creds), grpc.UnaryInterceptor(
		func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			answer, err := handle(ctx, request)
			if err != nil {
				logger.Debug("refused", "method", info.FullMethod, "error", err)
			}
			return answer, err
		}))
	externalgrpc.RegisterCloudProviderServer(s, server)
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	if err := s.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve on %s: %w", lis.Addr(), err)
	}
	return nil
}

func (o options) readGroups() ([]Group, error) {
	var groups []Group
	if o.config != "" {
		read, err := readConfig(o.config)
		if err != nil {
			return nil, err
		}
		groups = read
	}
	for _, text := range o.groups {
		g, err := parseGroup(text)
		if err != nil {
			return nil, fmt.Errorf("--group %q: %w", text, err)
		}
		groups = append(groups, g)
	}
	return groups, validate(groups)
}

// parseGroup reads NAME=MIN:MAX[:PRICE].
func parseGroup(text string) (Group, error) {
	name, bounds, ok := strings.Cut(text, "=")
	parts := strings.Split(bounds, ":")
	if !ok || len(parts) < 2 || len(parts) > 3 {
		return Group{}, errors.New("want NAME=MIN:MAX[:PRICE]")
	}
	g := Group{Name: name}
	var err error
	if g.Min, err = strconv.Atoi(parts[0]); err != nil {
		return g, fmt.Errorf("MIN: %w", err)
	}
	if g.Max, err = strconv.Atoi(parts[1]); err != nil {
		return g, fmt.Errorf("MAX: %w", err)
	}
	if len(parts) == 3 {
		if g.PricePerHour, err = strconv.ParseFloat(parts[2], 64); err != nil {
			return g, fmt.Errorf("PRICE: %w", err)
		}
	}
	return g, nil
}

func (o options) credentials() (credentials.TransportCredentials, error) {
	if o.cert == "" {
		if o.key != "" || o.clientCA != "" {
			return nil, errors.New("--tls-cert: must be set when other TLS flags are")
		}
		return insecure.NewCredentials(), nil
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert, --tls-key: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	if o.clientCA != "" {
		pem, err := os.ReadFile(o.clientCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-client-ca: %w", err)
		}
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !config.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-client-ca: %s has no certificate", o.clientCA)
		}
	}
	return credentials.NewTLS(config), nil
}

// commandTimeout bounds one devcluster command. A real node is ready within half a minute on an idle machine.
const commandTimeout = 5 * time.Minute
