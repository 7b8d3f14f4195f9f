// Package journal sends what the autoscaler decides back into the platform, as OpenTelemetry logs, spans and metrics over OTLP.
//
// Every record becomes one log entry whose body is the record's JSON, within one span, so that "why did it scale" and "why not" are
// ordinary queries: {service_name="yagura-autoscaler"} | json. The numbers of every policy are gauges besides, and so is
// what containers used in each five minutes, which is the history that the next start of an autoscaler reads. Log entries
// and spans wait in memory while the receiver is away, up to a set number, and what does not fit is counted.
//
// The package imports the decision and fleet packages and the OpenTelemetry SDK; the autoscaler's composition imports it.
package journal
