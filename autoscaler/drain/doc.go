// Package drain empties nodes: it keeps new pods away, has the pods leave through the Eviction API once each of them has another
// place, and takes all of that back when the world has changed.
//
// A drain is a function of what there is: each call looks at the node and its pods, does the next things without waiting for them,
// and says what is still in the way. What it remembers between calls only spares the API server repeated questions, so a successor
// goes on where another process has stopped.
//
// It may import api/v1alpha1, cluster, disruption and actuation (how a Deployment puts a second pod beside its only one); nodes and
// the composition import it.
package drain
