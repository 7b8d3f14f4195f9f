package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/yagura-dev/yagura/cmd/internal/queryservice"
)

// snapshotTimeout is the default for a copy: links are quick, but what is in memory
// is written first.
const snapshotTimeout = 10 * time.Minute

func newSnapshot() *cobra.Command {
	var c client
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Copy the query service's stores while they run",
		Long: `Has the query service copy its stores into a folder below its data folder, and
prints where. Files that never change again are linked, not copied, so a snapshot
is quick and costs disk only for what is dropped from the stores later. Everything
acknowledged before the call is in it. The service needs query.adminAPI: true.

Remove the folder when it is no longer needed. "yagura restore" makes a data folder
of it.`,
		Example: `  yagura snapshot
  yagura snapshot --url http://yagura-query.yagura:9428`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return takeSnapshot(cmd.Context(), cmd.OutOrStdout(), &c)
		},
	}
	c.flags(cmd.Flags())
	timeout := cmd.Flags().Lookup("timeout")
	timeout.DefValue, c.timeout = snapshotTimeout.String(), snapshotTimeout
	return cmd
}

func takeSnapshot(ctx context.Context, out io.Writer, c *client) error {
	body, err := c.get(ctx, "/api/v1/admin/snapshot", url.Values{})
	if err != nil {
		if strings.Contains(err.Error(), "nothing at") {
			err = fmt.Errorf("%w (is query.adminAPI on?)", err)
		}
		return err
	}
	var answer struct {
		Data struct{ Path string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Data.Path == "" {
		return fmt.Errorf("take a snapshot: this is no answer of a query service: %.200q", body)
	}
	_, err = fmt.Fprintln(out, answer.Data.Path)
	return err
}

func newRestore() *cobra.Command {
	return &cobra.Command{
		Use:   "restore SNAPSHOT DIR",
		Short: "Make a query service's data folder of a snapshot",
		Long: `Checks a snapshot and makes DIR of it, which must be empty or not exist: what is
damaged is named, and nothing is written then. Files are linked where they can be. Start the query service on DIR afterwards (yagura-query --data DIR;
for "yagura up --data DATA" DIR is DATA/query). The snapshot stays as it is.`,
		Example: `  yagura restore yagura-data/query/snapshots/20261123T101500Z restored/query
  yagura up --data restored`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return queryservice.Restore(cmd.Context(), args[0], args[1])
		},
	}
}
