// Building LogQL from what someone picked.

import { formatMatcher, formatPromDuration, type LabelFilter, quote } from "./promql";

export const ALL_SERVICES = '{service_name=~".+"}';

/** A stream selector. LogQL refuses one that could match every stream, so no filter means every named service. */
export function streamSelector(filters: LabelFilter[]): string {
  const matchers = filters.filter((filter) => filter.label !== "" && filter.value !== "");
  if (matchers.length === 0) return ALL_SERVICES;
  return `{${matchers.map(formatMatcher).join(", ")}}`;
}

const SELECTOR = /^\s*\{([^{}"`]*(?:"(?:[^"\\]|\\.)*"[^{}"`]*|`[^`]*`[^{}"`]*)*)\}/;

/** The matchers of a query's leading selector, or undefined when the query does not start with one. */
export function parseSelector(expr: string): { filters: LabelFilter[]; rest: string } | undefined {
  const match = SELECTOR.exec(expr);
  if (!match) return undefined;
  const filters: LabelFilter[] = [];
  const matcher = /([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)/g;
  for (const part of (match[1] ?? "").matchAll(matcher)) {
    const [, label = "", op = "=", raw = '""'] = part;
    filters.push({ label, op: op as LabelFilter["op"], value: unquote(raw) });
  }
  return { filters, rest: expr.slice(match[0].length) };
}

function unquote(raw: string): string {
  if (raw.startsWith("`")) return raw.slice(1, -1);
  try {
    return JSON.parse(raw) as string;
  } catch {
    // Go's escapes are wider than JSON's; the value as written is the next best reading.
    return raw.slice(1, -1);
  }
}

/** Sets or adds a matcher in the leading selector and leaves the pipeline alone. */
export function withMatcher(expr: string, filter: LabelFilter): string {
  const parsed = parseSelector(expr);
  if (!parsed) return expr.trim() === "" ? streamSelector([filter]) : expr;
  const replaces = filter.op === "=" || filter.op === "=~";
  const kept = parsed.filters.filter((existing) => {
    if (existing.label !== filter.label) return true;
    return !replaces && !(existing.op === filter.op && existing.value === filter.value);
  });
  // {service_name=~".+"} only stands in for "everything"; a real matcher takes its place.
  const real = kept.filter((existing) => !(existing.op === "=~" && existing.value === ".+"));
  return `${streamSelector([...real, filter])}${parsed.rest}`;
}

export function withoutMatcher(expr: string, filter: LabelFilter): string {
  const parsed = parseSelector(expr);
  if (!parsed) return expr;
  const rest = parsed.filters.filter(
    (entry) => !(entry.label === filter.label && entry.op === filter.op && entry.value === filter.value),
  );
  return `${streamSelector(rest)}${parsed.rest}`;
}

/** Adds a filter on structured metadata or a parsed label to the end of the pipeline. */
export function withFieldFilter(expr: string, label: string, op: "=" | "!=", value: string): string {
  return `${expr.trimEnd()} | ${label}${op}${quote(value)}`;
}

export function withLineFilter(expr: string, text: string): string {
  return `${expr.trimEnd()} |= ${quote(text)}`;
}

/** Whether a query yields numbers. Strings and comments are taken out first, for they may hold anything. */
export function isMetricQuery(expr: string): boolean {
  const bare = expr
    .replace(/"(?:[^"\\]|\\.)*"|`[^`]*`/g, '""')
    .replace(/#[^\n]*/g, "")
    .trim();
  return bare !== "" && !bare.replace(/^\(+\s*/, "").startsWith("{");
}

/** How many lines per step, by severity where the sender gave one. */
export function histogramQuery(expr: string, stepSeconds: number): string {
  return `sum by (severity_text) (count_over_time(${expr.trim()} [${formatPromDuration(stepSeconds)}]))`;
}

/** The lines of one trace, from every service. */
export function traceLogsQuery(traceId: string): string {
  return `${ALL_SERVICES} | trace_id=\`${traceId.replace(/`/g, "")}\``;
}

export function logRateQuery(stepSeconds: number): string {
  return `sum by (service_name) (count_over_time(${ALL_SERVICES}[${formatPromDuration(stepSeconds)}]))`;
}
