// Package forecast says how many replicas of a workload will be asked for before a node that is bought now is ready.
//
// It is pure: a bounded history of what was asked for and a time go in, a number with its reason comes out; it reads no clock and does
// no I/O. It imports nothing of this module, and the nodes package calls it.
//
// A forecast only ever adds: it is never below what is asked for now, and never above the workload's maximum or a multiple of what is
// asked for now. A model counts only while it has skill: where the answer is known by now, it must have been closer than the forecast
// that all stays as it is (persistence, the usual reference). Without a model that has skill, or with a history that is old, short or
// full of holes, nothing is forecast.
//
// The models are
//
//   - Trend: the line by Theil (1950) and Sen (1968), the median of the slopes of all pairs of points of the last minutes, with the
//     median of what is left as its level. More than a quarter of the points may be outliers.
//   - Daily and Weekly: the rise that followed the same time a day or a week ago, on top of what is asked for now (a seasonal
//     naive forecast with the level of today).
//
// The measure of skill is the ratio of root mean squared errors to persistence over the same horizon, after Murphy, "Skill scores based
// on the mean square error and their relationships to the correlation coefficient" (Monthly Weather Review, 1988).
package forecast
