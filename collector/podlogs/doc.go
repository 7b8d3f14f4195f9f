// Package podlogs tails the log files of this node's containers (/var/log/pods, in
// the CRI format) and plain files named by configuration, and hands their lines to
// the disk queue as OTLP log requests.
//
// What it has read of a file is kept in the queue, in the same write as the lines
// themselves. So a line is in the queue once, whenever the process is killed, as
// long as its file is still there.
//
// It imports collector/queue, collector/sample and collector/kube; the commands
// import it.
package podlogs
