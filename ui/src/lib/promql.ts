// Building PromQL from what someone picked, and recognising what kind of metric a name is.

import { rateUnit, type Unit, unitOf } from "./units";

export type MatchOp = "=" | "!=" | "=~" | "!~";

export interface LabelFilter {
  label: string;
  op: MatchOp;
  value: string;
}

export type MetricKind = "counter" | "gauge" | "histogram" | "summary" | "unknown";

export type Aggregation = "none" | "sum" | "avg" | "max" | "min" | "count";

export interface BuilderState {
  metric: string;
  filters: LabelFilter[];
  aggregation: Aggregation;
  by: string[];
  /** Only for histograms' buckets. */
  quantile?: number;
}

/** Quotes a string for PromQL and LogQL. */
export function quote(value: string): string {
  return `"${value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n").replace(/\t/g, "\\t")}"`;
}

/** Escapes a literal for use inside an RE2 matcher. */
export function escapeRegex(value: string): string {
  return value.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
}

const LEGACY_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LEGACY_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

function labelName(name: string): string {
  return LEGACY_LABEL.test(name) ? name : quote(name);
}

export function formatMatcher(filter: LabelFilter): string {
  return `${labelName(filter.label)}${filter.op}${quote(filter.value)}`;
}

/** A selector; names outside the classic alphabet go between the braces, as PromQL's UTF-8 syntax has it. */
export function selector(metric: string, filters: LabelFilter[]): string {
  const matchers = filters.filter((filter) => filter.label !== "").map(formatMatcher);
  if (metric === "") return `{${matchers.join(", ")}}`;
  if (!LEGACY_NAME.test(metric)) return `{${[quote(metric), ...matchers].join(", ")}}`;
  return matchers.length === 0 ? metric : `${metric}{${matchers.join(", ")}}`;
}

/** The kind by metadata where the store has it, else by the suffix that the naming rules prescribe. */
export function metricKind(name: string, metadataType?: string): MetricKind {
  switch (metadataType) {
    case "counter":
      return "counter";
    case "gauge":
      // Exporters that cannot say better call everything a gauge; a _total that only goes up is a counter all the same.
      return /_total$/.test(name) ? "counter" : "gauge";
    case "histogram":
    case "gaugehistogram":
    case "summary":
      if (/_bucket$/.test(name)) return "histogram";
      if (/_(count|sum)$/.test(name)) return "counter";
      return metadataType === "summary" ? "summary" : "histogram";
    default:
      if (/_bucket$/.test(name)) return "histogram";
      if (/_(total|count|sum)$/.test(name)) return "counter";
      return "unknown";
  }
}

/** The family name under which metadata is kept for a series name. */
export function familyName(name: string): string {
  return name.replace(/_(bucket|count|sum|total|created)$/, "");
}

/**
 * The window for rate(), in seconds: at least four scrapes, so that one missed scrape leaves no hole, and never
 * shorter than the step, so that no sample falls between two windows.
 */
export function rateWindow(scrapeInterval: number, step: number): number {
  return Math.max(Math.ceil(scrapeInterval * 4), Math.ceil(step + scrapeInterval));
}

export function formatPromDuration(seconds: number): string {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  if (seconds % 60 === 0) return `${seconds / 60}m`;
  return `${seconds}s`;
}

/** The query for what was picked. Counters get rate() by themselves, buckets get histogram_quantile(). */
export function buildPromQL(state: BuilderState, kind: MetricKind, windowSeconds: number): string {
  if (state.metric === "") return "";
  const base = selector(state.metric, state.filters);
  const window = formatPromDuration(windowSeconds);
  if (kind === "histogram" && /_bucket$/.test(state.metric)) {
    const by = ["le", ...state.by.filter((label) => label !== "le")].map(labelName).join(", ");
    return `histogram_quantile(${state.quantile ?? 0.95}, sum by (${by}) (rate(${base}[${window}])))`;
  }
  const inner = kind === "counter" ? `rate(${base}[${window}])` : base;
  if (state.aggregation === "none") return inner;
  const by = state.by.length > 0 ? ` by (${state.by.map(labelName).join(", ")})` : "";
  return `${state.aggregation}${by} (${inner})`;
}

/** The unit of a query's result, as far as its text tells. */
export function unitOfQuery(expr: string): Unit {
  const names = [...expr.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*/g)]
    .map((match) => match[0])
    .filter((name) => name.includes("_"));
  const name = names.find(
    (candidate) =>
      !/^(histogram_quantile|label_replace|label_join|group_left|group_right|.*_over_time)$/.test(candidate),
  );
  if (!name) return "number";
  if (/\bcount\b\s*(by|without|\()/.test(expr) || /\bcount_over_time\b/.test(expr)) return "number";
  // A quotient has no unit of its own; guessing one would mislead.
  if (/\)\s*\/|\/\s*[a-z(]/.test(expr.replace(/"[^"]*"/g, ""))) return "number";
  if (/histogram_quantile/.test(expr)) return unitOf(name);
  if (/\b(rate|irate)\s*\(/.test(expr)) return rateUnit(name);
  return unitOf(name);
}

/** The label that tells apart the parts of a combined query. */
export const PART = "part";

/**
 * Several queries as one, each part marked by its name. One request instead of a dozen: a page that refreshes every few
 * seconds would otherwise queue behind its own requests.
 */
export function combineQueries(parts: Record<string, string>): string {
  return Object.entries(parts)
    .map(([name, query]) => `label_replace(${query}, "${PART}", ${quote(name)}, "", "")`)
    .join("\nor\n");
}

const FILTER_TEXT = /^([a-zA-Z_][a-zA-Z0-9_.]*)\s*(=~|!~|!=|=)\s*(.*)$/;

/** Reads `label=value`, `label!=value`, `label=~regex`; quotes round the value are optional. */
export function parseFilter(text: string): LabelFilter | undefined {
  const match = FILTER_TEXT.exec(text.trim());
  if (!match?.[1] || !match[2]) return undefined;
  let value = match[3] ?? "";
  if (value.length >= 2 && value.startsWith('"') && value.endsWith('"')) value = value.slice(1, -1);
  return { label: match[1], op: match[2] as MatchOp, value };
}

/** Filters as one URL parameter. JSON, because values may hold any character. */
export function encodeFilters(filters: LabelFilter[]): string | undefined {
  if (filters.length === 0) return undefined;
  return JSON.stringify(filters.map((filter) => [filter.label, filter.op, filter.value]));
}

export function decodeFilters(text: string | undefined): LabelFilter[] {
  if (!text) return [];
  try {
    const parsed: unknown = JSON.parse(text);
    if (!Array.isArray(parsed)) return [];
    return parsed.flatMap((entry): LabelFilter[] => {
      if (!Array.isArray(entry) || entry.length !== 3) return [];
      const [label, op, value] = entry as unknown[];
      if (typeof label !== "string" || typeof value !== "string") return [];
      return op === "=" || op === "!=" || op === "=~" || op === "!~" ? [{ label, op, value }] : [];
    });
  } catch {
    return [];
  }
}
