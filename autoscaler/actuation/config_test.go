package actuation

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValidate(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
	for field, spoil := range map[string]func(*Config){
		"workers":            func(c *Config) { c.Workers = 0 },
		"timeout":            func(c *Config) { c.Timeout = 0 },
		"wait":               func(c *Config) { c.Wait = c.Timeout },
		"retryInterval":      func(c *Config) { c.RetryInterval = 0 },
		"deferredTimeout":    func(c *Config) { c.DeferredTimeout = -1 },
		"progressTimeout":    func(c *Config) { c.ProgressTimeout = -1 },
		"replacementRest":    func(c *Config) { c.ReplacementRest = -1 },
		"evictionsPerMinute": func(c *Config) { c.EvictionsPerMinute = -1 },
		"changedShare":       func(c *Config) { c.ChangedShare = math.NaN() },
		"changedAtLeast":     func(c *Config) { c.ChangedAtLeast = -1 },
	} {
		c := DefaultConfig()
		spoil(&c)
		assert.ErrorContains(t, c.Validate(), field+":")
	}
}
