package cgroup

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	testUID = "0f4a1c1e-2b5d-4f6e-9a77-3c1d2e4f5a6b"
	idA     = "a3f1c2d4e5b60718293a4b5c6d7e8f90a3f1c2d4e5b60718293a4b5c6d7e8f90"
	idB     = "b3f1c2d4e5b60718293a4b5c6d7e8f90a3f1c2d4e5b60718293a4b5c6d7e8f90"
)

func TestClassifyNamesOfEveryRuntimeAndDriver(t *testing.T) {
	underscored := strings.ReplaceAll(testUID, "-", "_")
	for path, want := range map[string]Ref{
		"/kubepods":                                         {Kind: Kubepods},
		"/kubepods/burstable/pod" + testUID:                 {Kind: Pod, PodUID: testUID},
		"/kubepods/pod" + testUID + "/" + idA:               {Kind: Container, PodUID: testUID, ContainerID: idA},
		"/n1/kubepods/besteffort/pod" + testUID + "/" + idA: {Kind: Container, PodUID: testUID, ContainerID: idA},
		"/kubepods.slice/kubepods-burstable.slice":          {Kind: Kubepods},
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underscored + ".slice": {Kind: Pod, PodUID: testUID},
		"/kubepods.slice/kubepods-pod" + underscored + ".slice/cri-containerd-" + idA + ".scope":   {Kind: Container, PodUID: testUID, ContainerID: idA},
		"/kubepods.slice/kubepods-pod" + underscored + ".slice/crio-" + idA + ".scope":             {Kind: Container, PodUID: testUID, ContainerID: idA},
		"/kubelet.slice/kubelet-kubepods.slice":                                                    {Kind: Kubepods},
		"/system.slice/docker-" + idA + ".scope":                                                   {Kind: Container, ContainerID: idA},
		"/docker/" + idA:                                                                           {Kind: Container, ContainerID: idA},
		"/machine.slice/libpod-" + idA + ".scope":                                                  {Kind: Container, ContainerID: idA},
		"/system.slice/sshd.service":                                                               {Kind: Other},
		"/machine.slice/libpod-conmon-" + idA + ".scope":                                           {Kind: Other},
	} {
		t.Run(path, func(t *testing.T) {
			ref := Ref{Path: "/"}
			for _, name := range strings.Split(path[1:], "/") {
				child, ok := classify(ref, name)
				require.True(t, ok, "%s in %+v", name, ref)
				ref = child
			}
			want.Path = path
			require.Equal(t, want, ref)
		})
	}
}

func TestClassifyLeavesOutWhatIsNoContainerInAPod(t *testing.T) {
	pod := Ref{Path: "/kubepods/pod" + testUID, Kind: Pod, PodUID: testUID}
	for _, name := range []string{"crio-conmon-" + idA + ".scope", "init", idA[:12], strings.ToUpper(idA)} {
		_, ok := classify(pod, name)
		require.False(t, ok, name)
	}
	_, ok := classify(Ref{Kind: Container}, "system.slice")
	require.False(t, ok)
}
