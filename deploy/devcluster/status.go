package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/deploy/devcluster/internal/cluster"
)

func newStatusCommand(flags *commonFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the cluster's processes, addresses and nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.cluster(cmd)
			if err != nil {
				return err
			}
			status, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			switch output {
			case "text":
				return printStatus(cmd.OutOrStdout(), status)
			case "json":
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(status)
			default:
				return fmt.Errorf("--output %q: want text or json", output)
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// maxListedNodes bounds the node list of the text form.
const maxListedNodes = 20

func printStatus(out io.Writer, status cluster.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Phase:\t%s\nKubernetes:\t%s, %s mode\nFolder:\t%s\nAPI server:\t%s\nKubeconfig:\t%s\n",
		status.Phase, status.Version, status.Mode, status.Dir, status.Server, status.Kubeconfig)
	if status.ScrapeTargets != "" {
		fmt.Fprintf(w, "Scrape targets:\t%s\n", status.ScrapeTargets)
	}
	if status.Problem != "" {
		fmt.Fprintf(w, "Problem:\t%s\n", status.Problem)
	}
	fmt.Fprint(w, "\nPROCESS\tPID\tAGE\tADDRESS\tLOG\n")
	for _, process := range status.Processes {
		pid, age := "-", "not running"
		if process.Running {
			pid, age = fmt.Sprint(process.PID), time.Since(process.Started).Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", process.Name, pid, age, dash(strings.Join(process.Addresses, ",")), process.Log)
	}
	if len(status.Nodes) > 0 {
		fmt.Fprint(w, "\nNODE\tREADY\tKIND\tADDRESS\n")
	}
	ready := 0
	for i, node := range status.Nodes {
		if node.Ready {
			ready++
		}
		if i >= maxListedNodes {
			continue
		}
		state, kind := "no", "real"
		if node.Ready {
			state = "yes"
		}
		if node.PoweredOff {
			state += ", powered off"
		}
		if node.Simulated {
			kind = "simulated"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", node.Name, state, kind, dash(node.Address))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(status.Nodes) > maxListedNodes {
		fmt.Fprintf(out, "… %d nodes, %d ready\n", len(status.Nodes), ready)
	}
	return nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
