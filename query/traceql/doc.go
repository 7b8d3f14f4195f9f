// Package traceql is the TraceQL language: parsing, validation, and exact
// evaluation of queries on the spans of one trace, or on one span where a query
// asks for no more. It is pure: spans come in through interfaces, answers are
// values. How spans are found in a store is the business of query/tempo, the one
// package that imports it; it imports no other room.
//
// The language is that of Grafana Tempo's reference documentation. Where that is
// silent:
//
//   - && and || bind equally strong and to the left, within braces and between them.
//   - A comparison holds only between values of comparable types (numbers and
//     durations are one kind), and never with an attribute that a span lacks; only
//     "= nil" and "!= nil" ask for absence. So { .a != 1 } selects spans that have a
//     number a other than 1, while { !(.a = 1) } selects spans without it, too.
//   - .a means span.a, or resource.a where the span has none.
//   - A comparison with an event's or a link's attribute holds if it holds for any of
//     the span's events or links.
//   - Arrays, key-value lists and bytes exist, but compare with nothing.
//   - Regular expressions are RE2, anchored at both ends, and their dot matches newlines.
package traceql
