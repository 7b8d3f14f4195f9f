//go:build !linux

package main

// nodePrograms is empty: kubelet and kube-proxy need a Linux kernel.
func nodePrograms() map[string]program { return nil }
