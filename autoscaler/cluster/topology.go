package cluster

// relations are what a class demands of other pods.
type relations struct{}

// topology counts pods by domain.
type topology struct{}

func (t *topology) forget()     {}
func (t *topology) moved()      {}
func (t *topology) drop(*class) {}

func (s *State) relate(*class) {}

// constrained is 1 when it matters to the class where other pods are.
func (c *class) constrained() int { return 0 }
