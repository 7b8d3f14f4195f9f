package agent

import (
	"github.com/spf13/pflag"

	"github.com/yagura-dev/yagura/collector/podlogs"
)

// Flags are the settings that people give on the command line. One that was given
// wins over the file.
type Flags struct {
	OTLPGRPC, OTLPHTTP, Cluster string
	LogFiles                    []string
	// The ones that a command registers itself, since `yagura up` knows better.
	Node, Kubeconfig, QueryURL string
}

// Register adds the flags that every command with a collector in it has.
func (o *Flags) Register(f *pflag.FlagSet) {
	f.StringVar(&o.OTLPGRPC, "otlp-grpc", "127.0.0.1:4317", `address of the OTLP gRPC receiver, or "off"`)
	f.StringVar(&o.OTLPHTTP, "otlp-http", "127.0.0.1:4318", `address of the OTLP HTTP receiver, or "off"`)
	f.StringVar(&o.Cluster, "cluster", "", "the cluster's name, for the label cluster")
	f.StringArrayVar(&o.LogFiles, "log-file", nil, "log file to follow, or a pattern as '/var/log/*.log'; may be repeated")
}

// Override lays the flags that were given over what the file says.
func (o *Flags) Override(f *pflag.FlagSet, cfg *Config) {
	for name, set := range map[string]func(){
		"otlp-grpc":  func() { cfg.OTLP.GRPC = address(o.OTLPGRPC) },
		"otlp-http":  func() { cfg.OTLP.HTTP = address(o.OTLPHTTP) },
		"cluster":    func() { cfg.Cluster = o.Cluster },
		"node-name":  func() { cfg.Kube.Node = o.Node },
		"kubeconfig": func() { cfg.Kube.Kubeconfig = o.Kubeconfig },
		"query-url":  func() { cfg.Ship.URL = o.QueryURL },
	} {
		if flag := f.Lookup(name); flag != nil && flag.Changed {
			set()
		}
	}
	for _, path := range o.LogFiles {
		cfg.PodLogs.Files = append(cfg.PodLogs.Files, podlogs.Files{Path: path})
	}
}

// address is a listen address as the receiver wants it: empty for none.
func address(flag string) string {
	if flag == "off" {
		return ""
	}
	return flag
}
