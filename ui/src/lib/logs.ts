// Log lines as the page shows them: where the labels of an answer belong, and how severe a line is.

import type { Level } from "./colors";

export interface LogEntry {
  /** Unique within an answer and stable between answers, so that an expanded line stays expanded. */
  id: string;
  /** Nanoseconds since the epoch as text; a number would lose the last digits. */
  nanos: string;
  ms: number;
  line: string;
  stream: Record<string, string>;
  metadata: Record<string, string>;
  parsed: Record<string, string>;
  level: Level;
}

export interface RawStream {
  stream: Record<string, string>;
  values: {
    nanos: string;
    line: string;
    metadata?: Record<string, string>;
    parsed?: Record<string, string>;
  }[];
}

const LEVELS: Record<string, Level> = {
  fatal: "error",
  panic: "error",
  critical: "error",
  crit: "error",
  alert: "error",
  emerg: "error",
  error: "error",
  err: "error",
  eror: "error",
  warning: "warn",
  warn: "warn",
  notice: "info",
  info: "info",
  information: "info",
  debug: "debug",
  dbg: "debug",
  trace: "trace",
};

/** Reads a level word of any spelling ("WARN", "Error2", "severity=info"). */
export function toLevel(text: string | undefined): Level {
  if (!text) return "unknown";
  return LEVELS[text.toLowerCase().replace(/\d$/, "")] ?? "unknown";
}

/** OTLP's severity numbers come in blocks of four. */
export function levelOfNumber(severity: number): Level {
  if (severity >= 17) return "error";
  if (severity >= 13) return "warn";
  if (severity >= 9) return "info";
  if (severity >= 5) return "debug";
  return severity >= 1 ? "trace" : "unknown";
}

const LEVEL_IN_LINE = /"?(?:level|severity|lvl)"?\s*[=:]\s*"?([a-zA-Z]+)/;
const LEVEL_WORD = /\b(FATAL|PANIC|CRITICAL|ERROR|WARNING|WARN|INFO|DEBUG|TRACE)\b/;
// klog: one letter and the date, at the very start.
const KLOG = /^([EWIF])\d{4} \d\d:/;

/** The level of a line: what the sender said, else what the start of the line gives away. */
export function detectLevel(line: string, fields: Record<string, string>): Level {
  const named = toLevel(fields.severity_text ?? fields.level ?? fields.detected_level ?? fields.severity);
  if (named !== "unknown") return named;
  const severity = Number(fields.severity_number);
  if (severity > 0) return levelOfNumber(severity);
  const head = line.slice(0, 400);
  const klog = KLOG.exec(head)?.[1];
  if (klog) return klog === "E" || klog === "F" ? "error" : klog === "W" ? "warn" : "info";
  return toLevel(LEVEL_IN_LINE.exec(head)?.[1] ?? LEVEL_WORD.exec(head.slice(0, 120))?.[1]);
}

/**
 * Flattens streams into lines in the order asked for. `indexed` names the stream labels: a store that does not
 * tell structured metadata from stream labels sends both as one set.
 */
export function toEntries(streams: RawStream[], direction: "backward" | "forward", indexed?: Set<string>): LogEntry[] {
  const entries: LogEntry[] = [];
  for (const raw of streams) {
    const stream: Record<string, string> = {};
    const extra: Record<string, string> = {};
    for (const [name, value] of Object.entries(raw.stream)) {
      if (!indexed || indexed.size === 0 || indexed.has(name)) stream[name] = value;
      else extra[name] = value;
    }
    const streamKey = JSON.stringify(raw.stream);
    const seen = new Map<string, number>();
    for (const value of raw.values) {
      const metadata = { ...extra, ...value.metadata };
      const parsed = value.parsed ?? {};
      const repeat = seen.get(value.nanos) ?? 0;
      seen.set(value.nanos, repeat + 1);
      entries.push({
        id: `${value.nanos}/${repeat}/${streamKey}`,
        nanos: value.nanos,
        ms: Number(value.nanos) / 1e6,
        line: value.line,
        stream,
        metadata,
        parsed,
        level: detectLevel(value.line, { ...stream, ...metadata, ...parsed }),
      });
    }
  }
  const sign = direction === "backward" ? -1 : 1;
  return entries.sort((a, b) => sign * compareNanos(a.nanos, b.nanos));
}

/** Orders decimal nanoseconds without leaving the exact integers. */
export function compareNanos(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Whether lines lie unseen between the newest line known and the oldest that arrived (both newest first). */
export function isGap(current: LogEntry[], arrived: LogEntry[]): boolean {
  const newest = current[0];
  const oldest = arrived.at(-1);
  return newest !== undefined && oldest !== undefined && compareNanos(oldest.nanos, newest.nanos) > 0;
}

/** Puts newly arrived lines in front and forgets the oldest beyond `keep`. */
export function mergeLive(current: LogEntry[], arrived: LogEntry[], keep: number): LogEntry[] {
  const known = new Set(current.map((entry) => entry.id));
  const fresh = arrived.filter((entry) => !known.has(entry.id));
  if (fresh.length === 0) return current;
  return [...fresh, ...current].sort((a, b) => compareNanos(b.nanos, a.nanos)).slice(0, keep);
}

const TRACE_ID = /^[0-9a-f]{16,32}$/i;

/** The trace a line belongs to, wherever its sender put the id. */
export function traceIdOf(entry: LogEntry): string | undefined {
  for (const fields of [entry.metadata, entry.parsed, entry.stream]) {
    const id = fields.trace_id ?? fields.traceId ?? fields.traceID;
    if (id && TRACE_ID.test(id) && !/^0+$/.test(id)) return id.toLowerCase();
  }
  return undefined;
}

/** Lines that are one JSON object are shown with their keys in reach. */
export function jsonFields(line: string): Record<string, unknown> | undefined {
  const trimmed = line.trim();
  if (!trimmed.startsWith("{") || !trimmed.endsWith("}")) return undefined;
  try {
    const value: unknown = JSON.parse(trimmed);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
