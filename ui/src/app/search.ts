// What the URL holds. Everything is text, so that a link can be read and written by hand.

import { z } from "zod";

const text = z.string().optional().catch(undefined);

/** Kept between pages. */
export const rangeSearch = z.object({ from: text, to: text, refresh: text });
export type RangeSearch = z.infer<typeof rangeSearch>;

export const overviewSearch = z.object({ node: text, find: text });
export const metricsSearch = z.object({
  metric: text,
  filters: text,
  agg: text,
  by: text,
  quantile: text,
  expr: text,
  find: text,
});
export const logsSearch = z.object({ expr: text, direction: text, limit: text, wrap: text, live: text });
export const tracesSearch = z.object({
  service: text,
  operation: text,
  tags: text,
  min: text,
  max: text,
  limit: text,
  sort: text,
});
export const traceSearch = z.object({ span: text, view: text });
export const autoscalingSearch = z.object({ find: text });
export const autoscalerSearch = z.object({ at: text, outcome: text, direction: text, container: text });
export const nodesSearch = z.object({
  find: text,
  policy: text,
  zone: text,
  phase: text,
  capacity: text,
  sort: text,
  by: text,
  node: text,
  at: text,
  outcome: text,
});

/** `?a=b&c=d` without the router's own JSON dialect. */
export function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

export function stringifySearch(search: Record<string, unknown>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (value !== undefined && value !== null && value !== "") params.set(name, String(value));
  }
  const encoded = params.toString();
  return encoded === "" ? "" : `?${encoded}`;
}

export type MetricsSearch = z.infer<typeof metricsSearch>;
export type LogsSearch = z.infer<typeof logsSearch>;
export type TracesSearch = z.infer<typeof tracesSearch>;
export type NodesSearch = z.infer<typeof nodesSearch>;
