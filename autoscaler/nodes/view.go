package nodes

import "github.com/yagura-dev/yagura/autoscaler/fleet"

// View is what GET /api/v1/nodes answers.
type View = fleet.View

// What a View is made of.
type (
	PolicyView  = fleet.PolicyView
	UpgradeView = fleet.UpgradeView
	NodeView    = fleet.NodeView
	StayView    = fleet.StayView
	VerdictView = fleet.VerdictView
	Resources   = fleet.Resources
	MoveView    = fleet.MoveView
	PodView     = fleet.PodView
)
