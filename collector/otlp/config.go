package otlp

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/alecthomas/units"
	"github.com/prometheus/common/model"
)

// Config says where requests are received and what they may cost.
type Config struct {
	// GRPC and HTTP are listen addresses; empty switches a protocol off.
	GRPC string `json:"grpc,omitempty"`
	HTTP string `json:"http,omitempty"`
	// MaxRequestBytes bounds one request, before and after decompression.
	MaxRequestBytes units.Base2Bytes `json:"maxRequestBytes,omitempty"`
	// MaxConcurrentRequests bounds the requests that are in memory at once: the
	// receiver needs about three times their product with MaxRequestBytes at worst.
	MaxConcurrentRequests int `json:"maxConcurrentRequests,omitempty"`
	// MaxConnections bounds the connections of each protocol.
	MaxConnections int `json:"maxConnections,omitempty"`
	// RequestTimeout bounds how long a request may take to arrive, and how long it
	// may wait for room in memory and in the queue.
	RequestTimeout model.Duration `json:"requestTimeout,omitempty"`
	// RetryAfter is when a sender may come back that was refused for lack of room.
	RetryAfter model.Duration `json:"retryAfter,omitempty"`
	// MaxSenders bounds the senders whose heartbeats are kept apart.
	MaxSenders int `json:"maxSenders,omitempty"`
	// AllowedOrigins are the web origins whose pages may send by HTTP, such as
	// "https://shop.example"; "*" is any. Empty means none.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// DefaultConfig returns the configuration with OTLP's own ports on loopback.
func DefaultConfig() Config {
	return Config{
		GRPC:                  "127.0.0.1:4317",
		HTTP:                  "127.0.0.1:4318",
		MaxRequestBytes:       8 << 20,
		MaxConcurrentRequests: 16,
		MaxConnections:        1000,
		RequestTimeout:        model.Duration(10 * time.Second),
		RetryAfter:            model.Duration(time.Second),
		MaxSenders:            1000,
	}
}

// Validate says which field is wrong.
func (c Config) Validate() error {
	for _, address := range []struct{ field, value string }{{"grpc", c.GRPC}, {"http", c.HTTP}} {
		if address.value == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(address.value); err != nil {
			return fmt.Errorf("%s: %w", address.field, err)
		}
	}
	for _, number := range []struct {
		field string
		value int
	}{
		{"maxRequestBytes", int(c.MaxRequestBytes)}, {"maxConcurrentRequests", c.MaxConcurrentRequests},
		{"maxConnections", c.MaxConnections}, {"maxSenders", c.MaxSenders},
	} {
		if number.value < 1 {
			return fmt.Errorf("%s: %d is less than 1", number.field, number.value)
		}
	}
	for _, duration := range []struct {
		field string
		value model.Duration
	}{{"requestTimeout", c.RequestTimeout}, {"retryAfter", c.RetryAfter}} {
		if duration.value <= 0 {
			return fmt.Errorf("%s: %s is not positive", duration.field, duration.value)
		}
	}
	for i, origin := range c.AllowedOrigins {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "") {
			return fmt.Errorf("allowedOrigins[%d]: %q is not an origin such as https://shop.example", i, origin)
		}
	}
	return nil
}
