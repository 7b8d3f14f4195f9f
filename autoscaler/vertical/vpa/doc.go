// Package vpa is the estimator of Kubernetes' VerticalPodAutoscaler, to the bit, as a pure function of samples.
//
// A usage is put into a histogram whose buckets grow by a twentieth each and whose weights halve every 24 hours: each CPU sample,
// and of memory the highest usage of each 24 hours. A request is a percentile of it and a margin; the bounds around it are wider
// the shorter the history is. A kill for memory counts as a usage above what the container had.
//
// The arithmetic, with its integers, its order of operations and its peculiarities, is that of the recommender's release 1.8.1;
// tests hold it against that release. What the recommender does around it is left out: checkpoints, since history is in the
// metrics store, and rounding for people. Its floor below which no pod is recommended is an option here.
//
// It imports nothing of Yagura. Package vertical offers it as one of its models.
package vpa
