// Package cgroup finds the control groups of a machine and reads what the kernel
// counts for them, in both versions of the interface: version 1 with a hierarchy
// for each controller, and the unified version 2.
//
// It knows the names that the kubelet, container runtimes and systemd give to
// cgroups; it knows nothing of Kubernetes objects. Files are kept open and read
// with one system call each, since the collector reads them every second.
//
// It imports no other room of the project; host imports it.
package cgroup
