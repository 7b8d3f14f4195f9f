package claim

// PoliciesRemembered is of how many policies a Keeper remembers anything.
func (k *Keeper) PoliciesRemembered() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	names := map[string]bool{}
	for name := range k.boots {
		names[name] = true
	}
	for name := range k.told {
		names[name] = true
	}
	return len(names)
}
