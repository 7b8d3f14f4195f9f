package main

import "github.com/spf13/cobra"

func platformCommands(*commonFlags) []*cobra.Command { return nil }
