// Time ranges as people write them ("now-15m", an ISO date, epoch milliseconds) and times as people read them.

/** An absolute range in epoch milliseconds; `from` is inclusive, `to` is the newest instant asked for. */
export interface TimeRange {
  from: number;
  to: number;
}

/** A range as it stands in the URL. Missing ends mean the default. */
export interface RangeExpr {
  from?: string;
  to?: string;
}

export type Zone = "local" | "utc";

export const DEFAULT_FROM = "now-15m";
export const DEFAULT_TO = "now";

export const PRESETS: { label: string; from: string }[] = [
  { label: "Last 5 minutes", from: "now-5m" },
  { label: "Last 15 minutes", from: "now-15m" },
  { label: "Last 30 minutes", from: "now-30m" },
  { label: "Last hour", from: "now-1h" },
  { label: "Last 3 hours", from: "now-3h" },
  { label: "Last 6 hours", from: "now-6h" },
  { label: "Last 12 hours", from: "now-12h" },
  { label: "Last 24 hours", from: "now-24h" },
  { label: "Last 2 days", from: "now-2d" },
  { label: "Last 7 days", from: "now-7d" },
];

const UNIT_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Parses a Prometheus style duration ("1h30m", "500ms") into milliseconds, or undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^(\d+(\.\d+)?(ms|[smhdw]))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const match of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) {
    total += Number(match[1]) * (UNIT_MS[match[2] ?? ""] ?? Number.NaN);
  }
  return Number.isFinite(total) ? total : undefined;
}

/** Parses one end of a range into epoch milliseconds, or undefined when the text means nothing. */
export function parseTime(text: string, now: number, zone: Zone = "local"): number | undefined {
  const trimmed = text.trim();
  if (trimmed === "now") return now;
  const relative = /^now\s*([-+])\s*(.+)$/.exec(trimmed);
  if (relative) {
    const delta = parseDuration(relative[2] ?? "");
    if (delta === undefined) return undefined;
    return relative[1] === "-" ? now - delta : now + delta;
  }
  if (/^\d{12,14}$/.test(trimmed)) return Number(trimmed);
  if (/^\d{9,10}(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000);
  const plain = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?)?$/.exec(trimmed);
  if (plain) {
    const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "0"] = plain;
    const parts = [year, month, day, hour, minute, second].map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const ms = Number(fraction.padEnd(3, "0"));
    parts[1] -= 1;
    const value = zone === "utc" ? Date.UTC(...parts, ms) : new Date(...parts, ms).getTime();
    return Number.isNaN(value) ? undefined : value;
  }
  if (/^\d{4}-\d\d-\d\dT/.test(trimmed)) {
    const value = Date.parse(trimmed);
    return Number.isNaN(value) ? undefined : value;
  }
  return undefined;
}

export function isRelative(text: string | undefined): boolean {
  return text === undefined || text.startsWith("now");
}

/** Resolves a range of the URL. Nonsense falls back to the default, and a reversed range is turned round. */
export function resolveRange(expr: RangeExpr, now: number): TimeRange {
  const to = parseTime(expr.to ?? DEFAULT_TO, now) ?? now;
  const from = parseTime(expr.from ?? DEFAULT_FROM, now) ?? to - 15 * 60_000;
  if (from === to) return { from: to - 1000, to };
  return from < to ? { from, to } : { from: to, to: from };
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];

/** The smallest round step, in seconds, that needs at most `points` points for the range. */
export function stepSeconds(range: TimeRange, points: number): number {
  const exact = (range.to - range.from) / 1000 / Math.max(1, points);
  return STEPS_S.find((step) => step >= exact) ?? Math.ceil(exact / 86_400) * 86_400;
}

/** Both ends moved back onto multiples of the step, so that a moving range keeps its sample grid. */
export function alignRange(range: TimeRange, step: number): TimeRange {
  const ms = step * 1000;
  return { from: Math.floor(range.from / ms) * ms, to: Math.floor(range.to / ms) * ms };
}

/** How often a range that ends now is worth asking again, in milliseconds. */
export function autoRefreshMs(range: TimeRange): number {
  const length = range.to - range.from;
  if (length <= 16 * 60_000) return 5000;
  if (length <= 3 * 3_600_000) return 15_000;
  return 60_000;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: Zone, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${zone}${JSON.stringify(options)}`;
  let found = formatters.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat("en-CA", {
      ...options,
      hourCycle: "h23",
      timeZone: zone === "utc" ? "UTC" : undefined,
    });
    formatters.set(key, found);
  }
  return found;
}

const CLOCK: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY: Intl.DateTimeFormatOptions = { year: "numeric", month: "2-digit", day: "2-digit" };

/** 14:03:07 */
export function formatClock(ms: number, zone: Zone): string {
  return formatter(zone, CLOCK).format(ms);
}

/** 14:03:07.120 */
export function formatClockMs(ms: number, zone: Zone): string {
  return `${formatClock(ms, zone)}.${String(Math.floor(((ms % 1000) + 1000) % 1000)).padStart(3, "0")}`;
}

/** 2026-11-23 14:03:07 */
export function formatDateTime(ms: number, zone: Zone): string {
  return `${formatter(zone, DAY).format(ms)} ${formatClock(ms, zone)}`;
}

/** A clock time when it is of today, a date and clock time otherwise. */
export function formatRecent(ms: number, zone: Zone, now: number = Date.now()): string {
  const today = formatter(zone, DAY).format(now) === formatter(zone, DAY).format(ms);
  return today ? formatClock(ms, zone) : formatDateTime(ms, zone);
}

/** "3 min ago", coarse on purpose: the exact time belongs in a tooltip. */
export function formatAgo(ms: number, now: number): string {
  const seconds = Math.round((now - ms) / 1000);
  if (seconds < 0) return "just now";
  if (seconds < 5) return "just now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

/** The words for a range of the URL: a preset's label, or both ends. */
export function describeRange(expr: RangeExpr, zone: Zone): string {
  const from = expr.from ?? DEFAULT_FROM;
  const to = expr.to ?? DEFAULT_TO;
  if (to === "now") {
    const preset = PRESETS.find((entry) => entry.from === from);
    if (preset) return preset.label;
    if (from.startsWith("now-")) return `Last ${from.slice(4)}`;
  }
  const end = (text: string) => {
    if (text.startsWith("now")) return text;
    const ms = parseTime(text, 0, zone);
    return ms === undefined ? text : formatDateTime(ms, zone);
  };
  const left = end(from);
  const right = end(to);
  // The day need not be said twice.
  return left.slice(0, 10) === right.slice(0, 10) && left.length > 10
    ? `${left} to ${right.slice(11)}`
    : `${left} to ${right}`;
}
