// Package vertical estimates what a container should request of a resource, from what it used.
//
// A Model takes samples of usage and kills for memory in the order of time and says at any moment what the request should be, how
// sure that is and why. It is pure: values and times in, values with reasons out; no clock, no network, no goroutine. Models know
// neither pods nor policies: package sizing turns estimates into requests that may be applied.
//
// It imports nothing of Yagura but its own sub-packages. Packages sizing, usage, replay and vpa import it.
package vertical
