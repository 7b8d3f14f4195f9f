// Package bench measures stores of telemetry side by side: it prepares public data,
// pushes it into every target over the target's own protocol, checks that all of it
// arrived, asks all targets the same questions and reports what that cost them.
//
// It speaks to targets over HTTP only and knows nothing of how they work: ours is
// one of them. It imports no room; `yagura bench` imports it.
package bench
