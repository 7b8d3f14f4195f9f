package external

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/prometheus/common/model"
)

// Config says where a server of the protocol is, and what it does not tell.
type Config struct {
	// Address is the server's host:port.
	Address string `json:"address"`
	// TLS is how the server is trusted, and how it is shown who asks. A server that is not on this machine must be spoken to with it.
	TLS TLSConfig `json:"tls,omitempty"`
	// Insecure allows a server on another machine without TLS: anybody on the way can buy and delete nodes.
	Insecure bool `json:"insecure,omitempty"`
	// RefreshInterval is how old what is known of groups may be. The server is told to look at its cloud anew as often.
	RefreshInterval model.Duration `json:"refreshInterval,omitempty"`
	// Settle is how late the effect of a request may come whose answer was lost. Until it is over nothing else is bought in the group.
	Settle model.Duration `json:"settle,omitempty"`
	// Prices are money per hour by group, for servers that tell none.
	Prices map[string]float64 `json:"prices,omitempty"`
	// CPUPrice and MemoryPrice are money per hour for a core and a GiB in groups without a price.
	CPUPrice    float64 `json:"cpuPrice,omitempty"`
	MemoryPrice float64 `json:"memoryPrice,omitempty"`
}

// TLSConfig names files in PEM.
type TLSConfig struct {
	// CA is what the server's certificate must be signed by. Empty means the system's.
	CA string `json:"ca,omitempty"`
	// Cert and Key are the client's own, for servers that ask for them.
	Cert string `json:"cert,omitempty"`
	Key  string `json:"key,omitempty"`
	// ServerName is in the server's certificate. Empty means the host of the address.
	ServerName string `json:"serverName,omitempty"`
	// Enabled turns TLS on though no file is named.
	Enabled bool `json:"enabled,omitempty"`
}

func (t TLSConfig) on() bool { return t.Enabled || t.CA != "" || t.Cert != "" || t.ServerName != "" }

// DefaultConfig lacks an address. Its prices are about those of general machines in large clouds.
func DefaultConfig() Config {
	return Config{
		RefreshInterval: model.Duration(5 * time.Second),
		Settle:          model.Duration(time.Minute),
		CPUPrice:        0.03,
		MemoryPrice:     0.004,
	}
}

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.RefreshInterval == 0 {
		c.RefreshInterval = d.RefreshInterval
	}
	if c.Settle == 0 {
		c.Settle = d.Settle
	}
	if c.CPUPrice == 0 && c.MemoryPrice == 0 {
		c.CPUPrice, c.MemoryPrice = d.CPUPrice, d.MemoryPrice
	}
	return c
}

// Validate checks the configuration. Errors name the field.
func (c Config) Validate() error {
	c = c.withDefaults()
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return fmt.Errorf("address: must be host:port: %w", err)
	}
	if !c.TLS.on() && !c.Insecure && !loopback(host) {
		return fmt.Errorf("tls: must be set for a server on another machine, or insecure")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return fmt.Errorf("tls: cert and key go together")
	}
	if d := time.Duration(c.RefreshInterval); d < 100*time.Millisecond || d > 10*time.Minute {
		return fmt.Errorf("refreshInterval: must be between 100ms and 10m")
	}
	if d := time.Duration(c.Settle); d < time.Second || d > time.Hour {
		return fmt.Errorf("settle: must be between 1s and 1h")
	}
	for group, price := range c.Prices {
		if !valid(price) {
			return fmt.Errorf("prices.%s: must not be negative", group)
		}
	}
	if !valid(c.CPUPrice) {
		return fmt.Errorf("cpuPrice: must not be negative")
	}
	if !valid(c.MemoryPrice) {
		return fmt.Errorf("memoryPrice: must not be negative")
	}
	return nil
}

func valid(price float64) bool { return price >= 0 && !math.IsInf(price, 0) }

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
