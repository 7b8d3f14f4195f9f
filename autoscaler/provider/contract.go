// Package provider is the door to those who make nodes: one small interface, and the errors that mean the same for all of them.
//
// Every implementation is a package below it and passes the suite in providertest. It may import api/v1alpha1 and cluster;
// implementations import it, and nodes and the composition import them.
package provider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
)

// Provider makes and deletes machines. It is safe for concurrent use, and every method returns when its context ends.
type Provider interface {
	// Name is the one in the configuration.
	Name() string
	// Offers are what could be bought now for a policy, its requirements and template not yet applied. The answer may be some
	// seconds old. Sold-out offers are left in, with Available false.
	Offers(ctx context.Context, policy *v1alpha1.NodePolicy) ([]cluster.Offer, error)
	// Create asks for the machine of a claim. It is idempotent by the claim's name: asked again it MUST NOT make a second one,
	// and returns the first. It may return before the machine runs, with an empty ProviderID when that is not known yet.
	// Errors are those below where they apply; any other is retried.
	Create(ctx context.Context, claim *v1alpha1.NodeClaim) (Machine, error)
	// Get returns the machine of a claim, or ErrNotFound.
	Get(ctx context.Context, claim *v1alpha1.NodeClaim) (Machine, error)
	// Delete asks for the end of a claim's machine. It is idempotent, and ErrNotFound once the machine is gone.
	Delete(ctx context.Context, claim *v1alpha1.NodeClaim) error
	// List returns every machine that was made for a claim of ours, whether or not the claim still exists, and those of the
	// provider's groups that were made by others, with an empty Claim.
	List(ctx context.Context) ([]Machine, error)
	// Capabilities say what else it can do.
	Capabilities() Capabilities
}

// Repairer is a provider that can do more about a sick machine than replace it.
type Repairer interface {
	// Repair begins a step. ErrUnsupported when the provider cannot.
	Repair(ctx context.Context, claim *v1alpha1.NodeClaim, step v1alpha1.RepairStep) error
}

// ControlPlaneUpgrader is a provider that can bring the control plane to a version.
type ControlPlaneUpgrader interface {
	// ControlPlane is the version that is asked for, and the one that all of it runs already.
	ControlPlane(ctx context.Context) (wanted, running string, err error)
	// UpgradeControlPlane asks for a version.
	UpgradeControlPlane(ctx context.Context, version string) error
}

// Capabilities say what a provider can do.
type Capabilities struct {
	// ReadOnly providers explain and never make or delete.
	ReadOnly bool
	// Steps of the repair ladder besides Replace.
	Steps []v1alpha1.RepairStep
	// Template says that labels, taints and version are set on the machine by the provider.
	Labels, Taints, Version, Image bool
	// Named says that machines carry their claim's name. Without it (cloud groups that are only resized) the provider keeps
	// the assignment of claims to machines, durably.
	Named bool
}

// Machine is what a provider has made.
type Machine struct {
	// ID is the provider's, as in a node's spec.providerID.
	ID string
	// Claim is the name of the claim that it was made for.
	Claim string
	Group string
	// NodeName is empty when the provider does not know it.
	NodeName string
	// Created is zero when it is not known.
	Created time.Time
	State   MachineState
	// Message is about the state.
	Message string
	// Version and Image are empty when they are not known.
	Version, Image string
}

// MachineState is how far a machine has come.
type MachineState string

const (
	// Creating machines are asked for.
	Creating MachineState = "Creating"
	// Running machines should have a node, or get one soon.
	Running MachineState = "Running"
	// Deleting machines are on their way out.
	Deleting MachineState = "Deleting"
	// Broken machines will never run.
	Broken MachineState = "Broken"
)

var (
	// ErrNotFound means that there is no such machine.
	ErrNotFound = errors.New("no such machine")
	// ErrUnsupported means that the provider cannot do this at all.
	ErrUnsupported = errors.ErrUnsupported
)

// OutOfCapacity means that an offer is sold out: it is avoided for a while, and another one taken.
type OutOfCapacity struct {
	Offer cluster.OfferID
	Err   error
}

func (e *OutOfCapacity) Error() string {
	return fmt.Sprintf("%s in %s is sold out: %v", e.Offer.Name, e.Offer.Zone, e.Err)
}
func (e *OutOfCapacity) Unwrap() error { return e.Err }

// Invalid means that the provider will never accept this claim: its policy is wrong.
type Invalid struct{ Err error }

func (e *Invalid) Error() string { return "the provider refuses the claim: " + e.Err.Error() }
func (e *Invalid) Unwrap() error { return e.Err }
