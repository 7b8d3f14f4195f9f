// Package upgrade decides which nodes differ from their policy, and which of them are renewed when.
//
// What counts as a difference is a list of small rules: version, image, template, labels, taints, requirements. What keeps a node that
// differs from being renewed right now is another one: windows, queries that stop everything, new nodes that fail, the control plane that
// comes first, pods that ask to be left alone, one zone after another, surge, budgets. Every node of the policy gets an answer.
//
// A new node comes first and the old one goes when it is ready. How it is bought is the caller's: a move says which node goes and why.
//
// It is pure: values and a clock's reading in, values with reasons out. What must be remembered between two decisions is in a Memory that
// the caller keeps. It imports api/v1alpha1, decision and disruption; nodes and cmd import it.
package upgrade
