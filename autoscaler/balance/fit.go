package balance

import (
	"math"
	"time"
)

// halfLife is how old an observation is when it counts half: a day and night have gone by, and a release some days ago is forgotten.
const halfLife = 24 * time.Hour

// between is the shortest time between two observations that count: more of them would say the same again.
const between = time.Minute

// forgotten is the weight of all observations together below which they are dropped.
const forgotten = 1e-3

// Fit is a line through observations, the older the lighter: y = Intercept + Slope x. Its zero value is empty. It takes the memory of
// a few numbers, however many observations there are.
type Fit struct {
	last             time.Time
	w, x, y          float64 // sums of weights and of weighted values
	xx, xy, yy       float64
	originX, originY float64 // what x and y are counted from, so that sums stay exact
}

// Add takes an observation. One sooner after the one before it than a minute does not count, nor one that is not finite.
func (f *Fit) Add(at time.Time, x, y float64) {
	if math.IsNaN(x+y) || math.IsInf(x+y, 0) || !f.last.IsZero() && at.Sub(f.last) < between {
		return
	}
	decay := math.Exp2(-at.Sub(f.last).Hours() / halfLife.Hours())
	if f.last.IsZero() || f.w*decay < forgotten {
		*f = Fit{originX: x, originY: y}
	} else {
		for _, sum := range []*float64{&f.w, &f.x, &f.y, &f.xx, &f.xy, &f.yy} {
			*sum *= decay
		}
	}
	f.last = at
	x, y = x-f.originX, y-f.originY
	f.w++
	f.x += x
	f.y += y
	f.xx += x * x
	f.xy += x * y
	f.yy += y * y
}

// Line is what a fit says.
type Line struct {
	Intercept, Slope float64
	// Error is the standard error of the intercept, SlopeError that of the slope.
	Error, SlopeError float64
	// MeanX and MeanY are in the middle of the observations, Spread is the standard deviation of x.
	MeanX, MeanY, Spread float64
	// Observations counts them by their weight.
	Observations float64
}

// least is how many observations make a line.
const least = 30

// Line reports false while there are too few observations, or all are at the same place.
func (f *Fit) Line() (Line, bool) {
	if f.w < least {
		return Line{}, false
	}
	mx, my := f.x/f.w, f.y/f.w
	sxx, sxy, syy := f.xx/f.w-mx*mx, f.xy/f.w-mx*my, f.yy/f.w-my*my
	l := Line{MeanX: mx + f.originX, MeanY: my + f.originY, Observations: f.w}
	if sxx <= 1e-18*l.MeanX*l.MeanX {
		return l, false
	}
	l.Spread = math.Sqrt(sxx)
	l.Slope = sxy / sxx
	l.Intercept = l.MeanY - l.Slope*l.MeanX
	residual := math.Max(0, syy-l.Slope*sxy) / (f.w - 2)
	l.SlopeError = math.Sqrt(residual / sxx)
	l.Error = math.Sqrt(residual * (1 + l.MeanX*l.MeanX/sxx))
	return l, true
}
