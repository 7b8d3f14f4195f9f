// Package e2e tests the built binaries as a user runs them: on a real Kubernetes
// control plane with simulated nodes (fleet), on two real kubelets (node), and in a
// real browser. `make build devcluster` first; `make e2e-fleet e2e-node` run
// them. It imports only libraries: everything it tests it reaches from outside.
package e2e
