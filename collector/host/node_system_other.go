//go:build !linux

package host

import "errors"

func clockState(*writer) error { return nil }

func uname() (kernelName, error) { return kernelName{}, errors.ErrUnsupported }
