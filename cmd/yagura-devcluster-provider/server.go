package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/yagura-dev/yagura/autoscaler/provider/external/externalgrpc"
)

// idPrefix begins the provider IDs of a development cluster's nodes.
const idPrefix = "devcluster://"

// server has groups of a development cluster's nodes. A change is written down before it is answered, and carried out afterwards, one
// node at a time: a development cluster changes one node at a time, too.
type server struct {
	externalgrpc.UnimplementedCloudProviderServer

	groups   map[string]Group
	path     string
	machines machines
	logger   *slog.Logger
	wake     chan struct{}

	mu    sync.Mutex
	state *state
	// failed are nodes that could not be made, with the reason. They are not tried again: whoever asked for them decides.
	failed map[string]string
	// existing are the nodes that there are, as of listed.
	existing []string
	listed   time.Time
}

func newServer(groups []Group, path string, m machines, logger *slog.Logger) (*server, error) {
	st, err := loadState(path)
	if err != nil {
		return nil, err
	}
	s := &server{
		groups: map[string]Group{}, path: path, machines: m, logger: logger, wake: make(chan struct{}, 1),
		state: st, failed: map[string]string{},
	}
	for _, g := range groups {
		s.groups[g.Name] = g
	}
	return s, nil
}

// listAge is how old the list of nodes may be.
const listAge = 2 * time.Second

// known has the nodes listed, and takes those over that a group has never seen. The caller holds mu.
func (s *server) known(ctx context.Context) error {
	if time.Since(s.listed) < listAge {
		return nil
	}
	existing, err := s.machines.list(ctx)
	if err != nil {
		return status.Errorf(codes.Unavailable, "list nodes: %v", err)
	}
	s.existing, s.listed = existing, time.Now()
	for _, g := range s.groups {
		if s.state.Groups[g.Name] != nil {
			continue
		}
		s.state.adopt(g, existing)
		if err := s.state.save(s.path); err != nil {
			delete(s.state.Groups, g.Name)
			return err
		}
	}
	return nil
}

// with calls do on a group with mu held, and writes the state down if do says that it was changed.
func (s *server) with(ctx context.Context, id string, do func(Group, *groupState) (changed bool, err error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[id]
	if !ok {
		return status.Errorf(codes.NotFound, "there is no group %q", id)
	}
	if err := s.known(ctx); err != nil {
		return err
	}
	gs := s.state.Groups[id]
	before := *gs
	before.Wanted, before.Leaving = slices.Clone(gs.Wanted), slices.Clone(gs.Leaving)
	changed, err := do(g, gs)
	if err != nil || !changed {
		return err
	}
	if err := s.state.save(s.path); err != nil {
		*gs = before
		return err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

func (s *server) wire(g Group) *externalgrpc.NodeGroup {
	return &externalgrpc.NodeGroup{
		Id: g.Name, MinSize: int32(g.Min), MaxSize: int32(g.Max),
		Debug: fmt.Sprintf("nodes %s* of a development cluster", g.prefix()),
	}
}

// NodeGroups are the configured ones.
func (s *server) NodeGroups(context.Context, *externalgrpc.NodeGroupsRequest) (*externalgrpc.NodeGroupsResponse, error) {
	answer := &externalgrpc.NodeGroupsResponse{}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		answer.NodeGroups = append(answer.NodeGroups, s.wire(s.groups[name]))
	}
	return answer, nil
}

// NodeGroupForNode goes by the node's provider ID, and by its name when it has none.
func (s *server) NodeGroupForNode(_ context.Context, r *externalgrpc.NodeGroupForNodeRequest) (*externalgrpc.NodeGroupForNodeResponse, error) {
	for _, g := range s.groups {
		if _, ok := g.number(nameOf(r.GetNode())); ok {
			return &externalgrpc.NodeGroupForNodeResponse{NodeGroup: s.wire(g)}, nil
		}
	}
	return &externalgrpc.NodeGroupForNodeResponse{NodeGroup: &externalgrpc.NodeGroup{}}, nil
}

func nameOf(node *externalgrpc.ExternalGrpcNode) string {
	if name, ok := strings.CutPrefix(node.GetProviderID(), idPrefix); ok {
		return name
	}
	return node.GetName()
}

// PricingNodePrice is the group's price for the time.
func (s *server) PricingNodePrice(_ context.Context, r *externalgrpc.PricingNodePriceRequest) (*externalgrpc.PricingNodePriceResponse, error) {
	hours := r.GetEndTimestamp().AsTime().Sub(r.GetStartTimestamp().AsTime()).Hours()
	if hours < 0 {
		return nil, status.Error(codes.InvalidArgument, "the time ends before it begins")
	}
	g, ok := s.groups[r.GetNode().GetLabels()[groupLabel]]
	if !ok {
		for _, candidate := range s.groups {
			if _, is := candidate.number(nameOf(r.GetNode())); is {
				g, ok = candidate, true
			}
		}
	}
	if !ok {
		return nil, status.Error(codes.NotFound, "the node is in no group")
	}
	return &externalgrpc.PricingNodePriceResponse{Price: g.PricePerHour * hours}, nil
}

// GPULabel is empty: no node has a GPU.
func (s *server) GPULabel(context.Context, *externalgrpc.GPULabelRequest) (*externalgrpc.GPULabelResponse, error) {
	return &externalgrpc.GPULabelResponse{}, nil
}

// GetAvailableGPUTypes is empty, too.
func (s *server) GetAvailableGPUTypes(context.Context, *externalgrpc.GetAvailableGPUTypesRequest) (*externalgrpc.GetAvailableGPUTypesResponse, error) {
	return &externalgrpc.GetAvailableGPUTypesResponse{}, nil
}

// Cleanup has nothing to do: what was asked for is carried out whoever asked.
func (s *server) Cleanup(context.Context, *externalgrpc.CleanupRequest) (*externalgrpc.CleanupResponse, error) {
	return &externalgrpc.CleanupResponse{}, nil
}

// Refresh has the nodes listed anew at the next question.
func (s *server) Refresh(context.Context, *externalgrpc.RefreshRequest) (*externalgrpc.RefreshResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = time.Time{}
	return &externalgrpc.RefreshResponse{}, nil
}

// NodeGroupTargetSize counts the nodes that there should be.
func (s *server) NodeGroupTargetSize(ctx context.Context, r *externalgrpc.NodeGroupTargetSizeRequest) (*externalgrpc.NodeGroupTargetSizeResponse, error) {
	answer := &externalgrpc.NodeGroupTargetSizeResponse{}
	err := s.with(ctx, r.GetId(), func(_ Group, gs *groupState) (bool, error) {
		answer.TargetSize = int32(len(gs.Wanted))
		return false, nil
	})
	return answer, err
}

// NodeGroupIncreaseSize asks for nodes.
func (s *server) NodeGroupIncreaseSize(ctx context.Context, r *externalgrpc.NodeGroupIncreaseSizeRequest) (*externalgrpc.NodeGroupIncreaseSizeResponse, error) {
	return &externalgrpc.NodeGroupIncreaseSizeResponse{}, s.with(ctx, r.GetId(), func(g Group, gs *groupState) (bool, error) {
		if r.GetDelta() <= 0 {
			return false, status.Errorf(codes.InvalidArgument, "cannot grow by %d", r.GetDelta())
		}
		if len(gs.Wanted)+int(r.GetDelta()) > g.Max {
			return false, status.Errorf(codes.ResourceExhausted, "group %s has %d of at most %d nodes", g.Name, len(gs.Wanted), g.Max)
		}
		for range r.GetDelta() {
			gs.Wanted = append(gs.Wanted, g.node(gs.Next))
			gs.Next++
		}
		return true, nil
	})
}

// NodeGroupDeleteNodes removes nodes, all of them or none.
func (s *server) NodeGroupDeleteNodes(ctx context.Context, r *externalgrpc.NodeGroupDeleteNodesRequest) (*externalgrpc.NodeGroupDeleteNodesResponse, error) {
	return &externalgrpc.NodeGroupDeleteNodesResponse{}, s.with(ctx, r.GetId(), func(g Group, gs *groupState) (bool, error) {
		var names []string
		for _, node := range r.GetNodes() {
			name := nameOf(node)
			switch {
			case slices.Contains(gs.Leaving, name): // asked again
			case !slices.Contains(gs.Wanted, name):
				return false, status.Errorf(codes.InvalidArgument, "node %s is not in group %s", name, g.Name)
			case !slices.Contains(names, name):
				names = append(names, name)
			}
		}
		if len(gs.Wanted)-len(names) < g.Min {
			return false, status.Errorf(codes.FailedPrecondition, "group %s has %d nodes and must keep %d", g.Name, len(gs.Wanted), g.Min)
		}
		for _, name := range names {
			gs.Wanted = slices.DeleteFunc(gs.Wanted, func(n string) bool { return n == name })
			gs.Leaving = append(gs.Leaving, name)
		}
		return len(names) > 0, nil
	})
}

// NodeGroupDecreaseTargetSize takes requests back for nodes that nobody has begun to make: the last ones asked for.
func (s *server) NodeGroupDecreaseTargetSize(ctx context.Context, r *externalgrpc.NodeGroupDecreaseTargetSizeRequest) (*externalgrpc.NodeGroupDecreaseTargetSizeResponse, error) {
	return &externalgrpc.NodeGroupDecreaseTargetSizeResponse{}, s.with(ctx, r.GetId(), func(g Group, gs *groupState) (bool, error) {
		if r.GetDelta() >= 0 {
			return false, status.Errorf(codes.InvalidArgument, "cannot decrease by %d", r.GetDelta())
		}
		left := int(-r.GetDelta())
		for i := len(gs.Wanted) - 1; i >= 0 && left > 0; i-- {
			if name := gs.Wanted[i]; !slices.Contains(s.existing, name) {
				gs.Wanted = slices.Delete(gs.Wanted, i, i+1)
				gs.Leaving = append(gs.Leaving, name) // whatever has been begun of it
				left--
			}
		}
		if left > 0 || len(gs.Wanted) < g.Min {
			return false, status.Errorf(codes.FailedPrecondition, "group %s would lose nodes that there are, or have fewer than %d", g.Name, g.Min)
		}
		return true, nil
	})
}

// NodeGroupNodes are the nodes that there should be and those that are on their way out.
func (s *server) NodeGroupNodes(ctx context.Context, r *externalgrpc.NodeGroupNodesRequest) (*externalgrpc.NodeGroupNodesResponse, error) {
	answer := &externalgrpc.NodeGroupNodesResponse{}
	err := s.with(ctx, r.GetId(), func(_ Group, gs *groupState) (bool, error) {
		for _, name := range gs.Wanted {
			st := &externalgrpc.InstanceStatus{InstanceState: externalgrpc.InstanceStatus_instanceRunning}
			if !slices.Contains(s.existing, name) {
				st.InstanceState = externalgrpc.InstanceStatus_instanceCreating
			}
			if why, bad := s.failed[name]; bad {
				st.ErrorInfo = &externalgrpc.InstanceErrorInfo{ErrorCode: "NotMade", ErrorMessage: why, InstanceErrorClass: 99}
			}
			answer.Instances = append(answer.Instances, &externalgrpc.Instance{Id: idPrefix + name, Status: st})
		}
		for _, name := range gs.Leaving {
			answer.Instances = append(answer.Instances, &externalgrpc.Instance{
				Id: idPrefix + name, Status: &externalgrpc.InstanceStatus{InstanceState: externalgrpc.InstanceStatus_instanceDeleting},
			})
		}
		return false, nil
	})
	return answer, err
}

// NodeGroupTemplateNodeInfo is a node as the next one would register.
func (s *server) NodeGroupTemplateNodeInfo(ctx context.Context, r *externalgrpc.NodeGroupTemplateNodeInfoRequest) (*externalgrpc.NodeGroupTemplateNodeInfoResponse, error) {
	g, ok := s.groups[r.GetId()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no group %q", r.GetId())
	}
	example, err := s.machines.example(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "look at a node: %v", err)
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: g.node(0), Labels: g.labels()},
		Spec:       corev1.NodeSpec{Taints: g.Taints},
		Status:     corev1.NodeStatus{Capacity: g.Resources, Allocatable: g.Resources},
	}
	node.Labels[corev1.LabelHostname] = node.Name
	if example != nil {
		for _, key := range []string{corev1.LabelOSStable, corev1.LabelArchStable} {
			if _, ok := node.Labels[key]; !ok && example.Labels[key] != "" {
				node.Labels[key] = example.Labels[key]
			}
		}
		if len(g.Resources) == 0 {
			node.Status.Capacity, node.Status.Allocatable = example.Status.Capacity, example.Status.Allocatable
		}
	}
	if len(node.Status.Allocatable) == 0 {
		return nil, status.Errorf(codes.Unimplemented, "there is no node to take for an example, and group %s has no resources configured", g.Name)
	}
	text, err := node.Marshal()
	return &externalgrpc.NodeGroupTemplateNodeInfoResponse{NodeBytes: text}, err
}
