// Package consolidation decides which nodes are given back, and which are swapped for cheaper ones, and says of every node why it
// stays.
//
// It is pure: candidates, a world, a planner and a memory in, moves and answers out. It may import api/v1alpha1, cluster and
// disruption; nodes imports it.
//
// A node goes through one ordered list of small rules; the first that keeps it is its answer. What passes is looked at in three ways:
// empty nodes are given back, nodes whose pods have room elsewhere are emptied, and nodes whose pods fit on fewer or cheaper new ones
// are replaced. Everything is simulated as a whole, together with what is on its way out already, before the first node is touched.
// A move must save more than its evictions are worth (see package disruption), so that what is gained by it is never merely another
// arrangement.
package consolidation
