// Package replay runs a policy on recorded history and says what would have become of it.
//
// History comes in as samples, each decision sees only the samples before it, and what comes out is one step for each sample and
// a summary: slack, time over the request, kills for memory, changes and cost. Nothing in it is random and no clock is read, so
// the same history gives the same answer. It replays vertical policies; steps and summaries leave room for horizontal ones.
//
// It imports api and vertical; tests hold its rules against those of package sizing. The command line imports it, the composition for the models that policies name, and the tests that compare models.
package replay
