// Command kubernetes is one program that is every binary of a Kubernetes
// cluster: the control plane, kubectl, etcd, kwok, and on Linux the parts of a
// node. It acts as the one that it is called as (a link named kube-apiserver)
// or, failing that, as its first argument names ("kubernetes kube-apiserver …").
//
// One program links once and shares its code on disk and in memory, where
// separate binaries of the same release take several times the space.
//
// It imports only the entry points of those components and is imported by
// nothing: devcluster embeds its source, compiles it on demand and runs it as
// processes.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // CronJob time zones, wherever the machine has no zone files.

	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// program runs one component with os.Args already in the component's own form
// and returns the exit code of the process.
type program func() int

func main() {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	all := programs()
	run, found := all[name]
	if !found {
		if len(os.Args) < 2 {
			usage(all)
			os.Exit(2)
		}
		name = os.Args[1]
		if run, found = all[name]; !found {
			fmt.Fprintf(os.Stderr, "kubernetes: no component is named %q\n", name)
			usage(all)
			os.Exit(2)
		}
		// The components read os.Args themselves, and name themselves after it.
		os.Args = append([]string{name}, os.Args[2:]...)
	}
	os.Exit(run())
}

func usage(all map[string]program) {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "usage: kubernetes COMPONENT [FLAG]...\ncomponents: %s\n", strings.Join(names, ", "))
}
