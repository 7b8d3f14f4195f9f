package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's credential plugins.
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// programs lists every component of this platform by the name of its binary.
func programs() map[string]program {
	all := map[string]program{
		"etcd":           runEtcd,
		"kube-apiserver": func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
		"kube-controller-manager": func() int {
			return cli.Run(controllermanager.NewControllerManagerCommand())
		},
		"kube-scheduler": func() int { return cli.Run(scheduler.NewSchedulerCommand()) },
		"kubectl":        runKubectl,
		"kwok":           runKwok,
	}
	for name, run := range nodePrograms() {
		all[name] = run
	}
	return all
}

func runEtcd() int {
	etcdmain.Main(os.Args)
	return 0
}

func runKubectl() int {
	// kubectl logs while it builds its command (plugins, .kuberc), so its
	// verbosity has to be known before cobra parses the flags.
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // Prints as kubectl does, and exits.
		return 1
	}
	return 0
}
