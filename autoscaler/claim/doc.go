// Package claim is the life of a NodeClaim: charged to its policy, asked for, registered, ready, and given back.
//
// The order in which things are written is what makes it safe to die at any moment, and to have a second leader beside it:
//
//   - A purchase is charged to the ledger in the NodePolicy's status against the resourceVersion that the plan was made from, and
//     only then its NodeClaims are created. Whoever planned from an older version is refused.
//   - A provider hears of a claim only after the claim was found in the ledger by a live read, and after that was written to the
//     claim (condition Charged). A reservation whose claim does not exist is released by an update of its own; a claim that
//     appears afterwards finds no reservation and is deleted without any provider having heard of it.
//   - Before each call to a provider the claim says that there may be a machine now (condition Launched, Unknown). A claim that is
//     deleted keeps its finalizer until the provider does not know its machine any more, and no call can be under way.
//   - Machines are given back once the claim says that its node is drained, or that it never took pods.
//
// It may import api/v1alpha1, cluster and provider; nodes and the composition import it.
package claim
