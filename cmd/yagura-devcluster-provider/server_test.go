package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/provider"
	"github.com/yagura-dev/yagura/autoscaler/provider/external"
	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
	"github.com/yagura-dev/yagura/autoscaler/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rack is a number of machines in memory.
type rack struct {
	mu      sync.Mutex
	names   []string
	refuses error
}

func (r *rack) add(_ context.Context, name string, _ map[string]string, _ []corev1.Taint) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuses != nil {
		return r.refuses
	}
	if slices.Contains(r.names, name) {
		return fmt.Errorf("%s exists", name)
	}
	r.names = append(r.names, name)
	return nil
}

func (r *rack) remove(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = slices.DeleteFunc(r.names, func(n string) bool { return n == name })
	return nil
}

func (r *rack) list(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.names), nil
}

func (r *rack) example(context.Context) (*corev1.Node, error) {
	resources := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelArchStable: "arm64"}},
		Status:     corev1.NodeStatus{Capacity: resources, Allocatable: resources},
	}, nil
}

var workers = Group{Name: "workers", Prefix: "n", Min: 1, Max: 4, PricePerHour: 0.25, Labels: map[string]string{"zone": "b"}}

// listen starts a server, which carries nothing out until it is told to.
func listen(t *testing.T, m machines, path string, groups ...Group) (*server, string) {
	s, err := newServer(groups, path, m, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, lis, insecure.NewCredentials(), s, s.logger) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return s, lis.Addr().String()
}

// start returns a client, too.
func start(t *testing.T, m machines, path string, groups ...Group) (externalgrpc.CloudProviderClient, *server) {
	s, address := listen(t, m, path, groups...)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return externalgrpc.NewCloudProviderClient(conn), s
}

// finish lets the server carry out what it was asked for.
func (s *server) finish(t *testing.T) {
	s.mu.Lock()
	s.listed = time.Time{}
	s.mu.Unlock()
	for s.step(t.Context()) {
	}
}

func size(t *testing.T, c externalgrpc.CloudProviderClient) int {
	answer, err := c.NodeGroupTargetSize(t.Context(), &externalgrpc.NodeGroupTargetSizeRequest{Id: "workers"})
	require.NoError(t, err)
	return int(answer.TargetSize)
}

func instances(t *testing.T, c externalgrpc.CloudProviderClient) map[string]string {
	answer, err := c.NodeGroupNodes(t.Context(), &externalgrpc.NodeGroupNodesRequest{Id: "workers"})
	require.NoError(t, err)
	out := map[string]string{}
	for _, i := range answer.Instances {
		out[i.Id] = i.Status.InstanceState.String() + i.Status.GetErrorInfo().GetErrorMessage()
	}
	return out
}

func TestGroupGrowsAndShrinks(t *testing.T) {
	m := &rack{names: []string{"n1", "n2", "other"}}
	c, s := start(t, m, filepath.Join(t.TempDir(), "provider.json"), workers)
	assert.Equal(t, 2, size(t, c), "nodes that were there belong to the group")

	_, err := c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: 2})
	require.NoError(t, err)
	assert.Equal(t, 4, size(t, c))
	assert.Equal(t, "instanceCreating", instances(t, c)["devcluster://n3"])
	_, err = c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: 1})
	assert.Equal(t, codes.ResourceExhausted, status.Code(err))
	s.finish(t)
	assert.ElementsMatch(t, []string{"n1", "n2", "n3", "n4", "other"}, m.names)

	request := &externalgrpc.NodeGroupDeleteNodesRequest{Id: "workers", Nodes: []*externalgrpc.ExternalGrpcNode{{ProviderID: "devcluster://n4"}, {Name: "n2"}}}
	_, err = c.NodeGroupDeleteNodes(t.Context(), request)
	require.NoError(t, err)
	_, err = c.NodeGroupDeleteNodes(t.Context(), request)
	require.NoError(t, err, "asked again while they are on their way out")
	assert.Equal(t, 2, size(t, c))
	assert.Equal(t, "instanceDeleting", instances(t, c)["devcluster://n4"])
	s.finish(t)
	assert.ElementsMatch(t, []string{"n1", "n3", "other"}, m.names)

	_, err = c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: 1})
	require.NoError(t, err)
	s.finish(t)
	assert.Contains(t, m.names, "n5", "a name is never used twice")

	for _, name := range []string{"other", "n99"} {
		_, err = c.NodeGroupDeleteNodes(t.Context(), &externalgrpc.NodeGroupDeleteNodesRequest{Id: "workers", Nodes: []*externalgrpc.ExternalGrpcNode{{Name: name}}})
		assert.Equal(t, codes.InvalidArgument, status.Code(err), name)
	}
	_, err = c.NodeGroupDeleteNodes(t.Context(), &externalgrpc.NodeGroupDeleteNodesRequest{Id: "workers", Nodes: []*externalgrpc.ExternalGrpcNode{{Name: "n1"}, {Name: "n3"}, {Name: "n5"}}})
	assert.Equal(t, codes.FailedPrecondition, status.Code(err), "the minimum is kept")
	assert.Equal(t, 3, size(t, c))
}

func TestRequestsAreTakenBack(t *testing.T) {
	m := &rack{names: []string{"n1"}}
	c, s := start(t, m, filepath.Join(t.TempDir(), "provider.json"), workers)
	_, err := c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: 1})
	require.NoError(t, err)
	_, err = c.NodeGroupDecreaseTargetSize(t.Context(), &externalgrpc.NodeGroupDecreaseTargetSizeRequest{Id: "workers", Delta: -1})
	require.NoError(t, err)
	assert.Equal(t, 1, size(t, c))
	s.finish(t)
	assert.Equal(t, []string{"n1"}, m.names)
	_, err = c.NodeGroupDecreaseTargetSize(t.Context(), &externalgrpc.NodeGroupDecreaseTargetSizeRequest{Id: "workers", Delta: -1})
	assert.Equal(t, codes.FailedPrecondition, status.Code(err), "a node that there is stays")
	for _, delta := range []int32{0, 1} {
		_, err = c.NodeGroupDecreaseTargetSize(t.Context(), &externalgrpc.NodeGroupDecreaseTargetSizeRequest{Id: "workers", Delta: delta})
		assert.Equal(t, codes.InvalidArgument, status.Code(err))
	}
	_, err = c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: -1})
	assert.Equal(t, codes.InvalidArgument, status.Code(err))
}

// TestRestart: what was promised is carried out by the next process.
func TestRestart(t *testing.T) {
	m := &rack{names: []string{"n1", "n2"}}
	path := filepath.Join(t.TempDir(), "provider.json")
	c, _ := start(t, m, path, workers)
	_, err := c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: 1})
	require.NoError(t, err)
	_, err = c.NodeGroupDeleteNodes(t.Context(), &externalgrpc.NodeGroupDeleteNodesRequest{Id: "workers", Nodes: []*externalgrpc.ExternalGrpcNode{{Name: "n1"}}})
	require.NoError(t, err)

	c, s := start(t, m, path, workers)
	assert.Equal(t, 2, size(t, c))
	s.finish(t)
	assert.ElementsMatch(t, []string{"n2", "n3"}, m.names)
}

func TestFailureIsToldAndNotRepeated(t *testing.T) {
	m := &rack{names: []string{"n1"}, refuses: errors.New("the disk is full")}
	c, s := start(t, m, filepath.Join(t.TempDir(), "provider.json"), workers)
	_, err := c.NodeGroupIncreaseSize(t.Context(), &externalgrpc.NodeGroupIncreaseSizeRequest{Id: "workers", Delta: 1})
	require.NoError(t, err)
	s.finish(t)
	assert.Equal(t, "instanceCreatingthe disk is full", instances(t, c)["devcluster://n2"])
	_, err = c.NodeGroupDeleteNodes(t.Context(), &externalgrpc.NodeGroupDeleteNodesRequest{Id: "workers", Nodes: []*externalgrpc.ExternalGrpcNode{{ProviderID: "devcluster://n2"}}})
	require.NoError(t, err)
	s.finish(t)
	assert.Equal(t, map[string]string{"devcluster://n1": "instanceRunning"}, instances(t, c))
}

func TestGroupsAndPrices(t *testing.T) {
	c, _ := start(t, &rack{}, filepath.Join(t.TempDir(), "provider.json"), workers)
	groups, err := c.NodeGroups(t.Context(), &externalgrpc.NodeGroupsRequest{})
	require.NoError(t, err)
	require.Len(t, groups.NodeGroups, 1)
	assert.Equal(t, int32(4), groups.NodeGroups[0].MaxSize)
	for _, q := range []struct {
		node *externalgrpc.ExternalGrpcNode
		want string
	}{
		{&externalgrpc.ExternalGrpcNode{ProviderID: "devcluster://n7", Name: "whatever"}, "workers"},
		{&externalgrpc.ExternalGrpcNode{Name: "n7"}, "workers"},
		{&externalgrpc.ExternalGrpcNode{Name: "n07"}, ""},
		{&externalgrpc.ExternalGrpcNode{Name: "m7"}, ""},
	} {
		answer, err := c.NodeGroupForNode(t.Context(), &externalgrpc.NodeGroupForNodeRequest{Node: q.node})
		require.NoError(t, err)
		assert.Equal(t, q.want, answer.NodeGroup.Id, q.node.String())
	}
	template, err := c.NodeGroupTemplateNodeInfo(t.Context(), &externalgrpc.NodeGroupTemplateNodeInfoRequest{Id: "workers"})
	require.NoError(t, err)
	var node corev1.Node
	require.NoError(t, node.Unmarshal(template.NodeBytes))
	assert.Equal(t, "b", node.Labels["zone"])
	assert.Equal(t, "arm64", node.Labels[corev1.LabelArchStable])
	assert.Equal(t, "2", node.Status.Allocatable.Cpu().String())
	now := time.Now()
	price, err := c.PricingNodePrice(t.Context(), &externalgrpc.PricingNodePriceRequest{
		Node: &externalgrpc.ExternalGrpcNode{Labels: node.Labels}, StartTimestamp: timestamppb.New(now), EndTimestamp: timestamppb.New(now.Add(2 * time.Hour)),
	})
	require.NoError(t, err)
	assert.InDelta(t, 0.5, price.Price, 1e-9)
	_, err = c.NodeGroupTargetSize(t.Context(), &externalgrpc.NodeGroupTargetSizeRequest{Id: "nobody"})
	assert.Equal(t, codes.NotFound, status.Code(err))
}

func TestFlags(t *testing.T) {
	g, err := parseGroup("workers=0:5:0.10")
	require.NoError(t, err)
	assert.Equal(t, Group{Name: "workers", Max: 5, PricePerHour: 0.1}, g)
	require.NoError(t, validate([]Group{g}))
	for _, text := range []string{"", "workers", "workers=1", "workers=a:2", "workers=1:b", "workers=1:2:c", "workers=1:2:3:4"} {
		_, err := parseGroup(text)
		assert.Error(t, err, text)
	}
	for _, groups := range [][]Group{
		nil, {{Name: ""}}, {{Name: "UPPER", Max: 1}}, {{Name: "a", Min: 2, Max: 1}}, {{Name: "a", Max: 1, PricePerHour: -1}},
		{{Name: "a", Max: 1}, {Name: "b", Prefix: "a-", Max: 1}},
	} {
		assert.Error(t, validate(groups), "%v", groups)
	}
	path := filepath.Join(t.TempDir(), "groups.yaml")
	require.NoError(t, os.WriteFile(path, []byte("groups: [{name: a, max: 3, taints: [{key: gpu, effect: NoSchedule}], resources: {cpu: 4}}]"), 0o600))
	groups, err := readConfig(path)
	require.NoError(t, err)
	assert.Equal(t, corev1.TaintEffectNoSchedule, groups[0].Taints[0].Effect)
	require.NoError(t, os.WriteFile(path, []byte("groups: [{name: a, maximum: 3}]"), 0o600))
	_, err = readConfig(path)
	assert.ErrorContains(t, err, "maximum")
}

// TestOnARealDevelopmentCluster buys a node from the real program by way of the provider, and gives it back.
func TestOnARealDevelopmentCluster(t *testing.T) {
	_, kube := providertest.Cluster(t)
	program, err := filepath.Abs(filepath.Join("..", "..", "bin", "devcluster"))
	require.NoError(t, err)
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED: %v", err)
	}
	m := &devcluster{program: program, dir: filepath.Dir(os.Getenv("YAGURA_TEST_KUBECONFIG"))}
	if _, err := m.list(t.Context()); err != nil {
		t.Skipf("SKIPPED: the cluster is not one of devcluster's: %v", err)
	}
	name := "real" + time.Now().UTC().Format("150405")
	group := Group{Name: name, Max: 2, PricePerHour: 0.5, Labels: map[string]string{"team": "shop"}, Taints: []corev1.Taint{{Key: "only", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}}
	s, address := listen(t, m, filepath.Join(t.TempDir(), "provider.json"), group)
	p, err := external.New(name, external.Config{Address: address}, external.Dependencies{
		Client: kube, Namespace: "default", Clock: clock.RealClock{}, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	t.Cleanup(func() {
		ctx := context.Background()
		var maps corev1.ConfigMapList
		_ = kube.List(ctx, &maps)
		for i := range maps.Items {
			if maps.Items[i].Data["group"] == name {
				_ = kube.Delete(ctx, &maps.Items[i])
			}
		}
	})
	policy := &v1alpha1.NodePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
	offers, err := p.Offers(t.Context(), policy)
	require.NoError(t, err)
	require.Len(t, offers, 1)
	assert.InDelta(t, 0.5, offers[0].PricePerHour, 1e-9)
	claim := providertest.Claim(name+"-x", name, policy, offers[0])
	_, err = p.Create(t.Context(), claim)
	require.NoError(t, err)
	s.finish(t)
	var machine provider.Machine
	require.Eventually(t, func() bool {
		machine, err = p.Get(t.Context(), claim)
		return err == nil && machine.State == provider.Running && machine.ID != ""
	}, 30*time.Second, 200*time.Millisecond, "%v", err)
	assert.Equal(t, "devcluster://"+name+"-1", machine.ID)

	var nodes corev1.NodeList
	require.NoError(t, kube.List(t.Context(), &nodes))
	i := slices.IndexFunc(nodes.Items, func(n corev1.Node) bool { return n.Spec.ProviderID == machine.ID })
	require.GreaterOrEqual(t, i, 0)
	assert.Equal(t, "shop", nodes.Items[i].Labels["team"])
	assert.True(t, slices.ContainsFunc(nodes.Items[i].Spec.Taints, func(x corev1.Taint) bool { return x.Key == "only" }))

	claim.Status.NodeName = nodes.Items[i].Name
	require.NoError(t, p.Delete(t.Context(), claim))
	s.finish(t)
	require.Eventually(t, func() bool { return errors.Is(p.Delete(t.Context(), claim), provider.ErrNotFound) }, 30*time.Second, 200*time.Millisecond)
	names, err := m.list(t.Context())
	require.NoError(t, err)
	assert.NotContains(t, names, name+"-1")
}
