package vertical

// peakBuckets is into how many parts a window is divided: the highest usage counts for the window and at most a part more.
const peakBuckets = 8

// peakWindow is the highest usage over a moving window.
type peakWindow struct {
	high [peakBuckets]float32
	at   uint8
	// phase is how far the current part has gone, in seconds.
	phase float32
}

// age lets seconds pass in a window of the given length; at most parts parts of it are lost.
func (w *peakWindow) age(seconds, length float64, parts int) {
	part := length / peakBuckets
	phase := float64(w.phase) + seconds
	steps := int(min(phase/part, peakBuckets))
	w.phase = float32(phase - float64(int(phase/part))*part)
	for range min(steps, parts) {
		w.at = (w.at + 1) % peakBuckets
		w.high[w.at] = 0
	}
}

func (w *peakWindow) add(v float64) { w.high[w.at] = max(w.high[w.at], float32(v)) }

func (w *peakWindow) max() float64 {
	high := w.high[0]
	for _, v := range w.high[1:] {
		high = max(high, v)
	}
	return float64(high)
}
