package logs

// WithoutPushdown is the same engine with everything evaluated by LogQL alone.
func WithoutPushdown(e *Engine) *Engine {
	plain := *e
	plain.plain = true
	return &plain
}
