//go:build !linux

package process

import (
	"errors"
	"os/exec"
)

// startIn starts cmd; there are no network namespaces here.
func startIn(netns string, cmd *exec.Cmd) error {
	if netns != "" {
		return errors.New("network namespaces need Linux")
	}
	return cmd.Start()
}
