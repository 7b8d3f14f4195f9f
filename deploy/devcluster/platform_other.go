//go:build !linux

package main

import "github.com/spf13/cobra"

// platformCommands is empty: node mode needs Linux.
func platformCommands(*commonFlags) []*cobra.Command { return nil }
