package vertical

// MemoryOptions are those of a model of memory for which a kill has another price, and which chooses among all models if all is set.
func MemoryOptions(kill float64, all bool) Options {
	t := *memoryTuning
	t.kill = kill
	if all {
		t.auto = ""
	}
	return Options{tuning: &t}
}
