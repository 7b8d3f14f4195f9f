// Package spanmetrics derives metrics from spans as they are stored: rate, errors
// and duration of every operation, and the graph of which service calls which. It
// stands between ingest and the store as a columnar.Writer, and writes what it
// counts to the metrics store every few seconds.
//
// Names and labels are those of OpenTelemetry's span metrics and service graph
// connectors, so that dashboards and Jaeger's monitor tab find them:
//
//	traces_span_metrics_calls_total                      service_name, span_name, span_kind, status_code,
//	traces_span_metrics_duration_milliseconds_{…}        and the labels of the span's stream
//	traces_service_graph_request_total                   client, server, connection_type
//	traces_service_graph_request_failed_total
//	traces_service_graph_request_server_seconds_{…}
//	traces_service_graph_request_client_seconds_{…}
//
// It may import query/columnar, query/traces, query/metrics and libraries; the
// composition in cmd wires it.
package spanmetrics
