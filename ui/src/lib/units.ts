// Numbers with their units. A unit is guessed from a Prometheus name's suffix, which the naming rules make reliable.

export type Unit =
  | "number"
  | "bytes"
  | "bytesPerSecond"
  | "bits"
  | "seconds"
  | "percent" // 0..100
  | "ratio" // 0..1
  | "cores"
  | "perSecond"
  | "timestamp"; // seconds since the epoch

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

function trim(value: number, digits: number): string {
  // toPrecision keeps three figures whatever the size, and Number drops the zeros that carry nothing.
  return String(Number(value.toPrecision(digits)));
}

function scaled(value: number, base: number, names: string[]): string {
  let magnitude = Math.abs(value);
  let index = 0;
  while (magnitude >= base && index < names.length - 1) {
    magnitude /= base;
    index++;
  }
  const number = magnitude >= 100 ? Math.round(magnitude).toString() : trim(magnitude, 3);
  return `${value < 0 ? "-" : ""}${number} ${names[index]}`;
}

export function formatBytes(value: number): string {
  return scaled(value, 1024, BINARY);
}

/** 1.2 k, 3.4 M; small numbers as they are. */
export function formatCount(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0";
  if (magnitude < 0.001) return value.toExponential(1);
  if (magnitude < 1000) return trim(value, 3);
  if (magnitude < 10_000 && Number.isInteger(value)) return String(value);
  return scaled(value, 1000, ["", "k", "M", "G", "T", "P"]).trim();
}

/** 10,000: an exact number, for counts that people may compare. */
export function formatInteger(value: number): string {
  return Math.round(value).toLocaleString("en");
}

/** Durations from nanoseconds to days; the input is seconds. */
export function formatSeconds(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0 s";
  if (magnitude < 1e-6) return `${trim(value * 1e9, 3)} ns`;
  if (magnitude < 1e-3) return `${trim(value * 1e6, 3)} µs`;
  if (magnitude < 1) return `${trim(value * 1e3, 3)} ms`;
  if (magnitude < 100) return `${trim(value, 3)} s`;
  const sign = value < 0 ? "-" : "";
  const whole = Math.round(magnitude);
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor((whole % 86_400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const seconds = whole % 60;
  if (days > 0) return `${sign}${days} d ${hours} h`;
  if (hours > 0) return `${sign}${hours} h ${minutes} min`;
  return seconds === 0 ? `${sign}${minutes} min` : `${sign}${minutes} min ${seconds} s`;
}

/** CPU in cores, in millicores ("85m", as Kubernetes writes them) below one tenth of a core. */
export function formatCores(value: number): string {
  if (value === 0) return "0";
  if (Math.abs(value) < 0.1) return `${trim(value * 1000, value < 0.01 ? 2 : 3)}m`;
  return trim(value, 3);
}

export function formatPercent(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0 %";
  if (magnitude < 10) return `${trim(value, 2)} %`;
  return `${magnitude < 100 ? trim(value, 3) : Math.round(value)} %`;
}

export function formatValue(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+∞" : "−∞";
  switch (unit) {
    case "bytes":
      return formatBytes(value);
    case "bytesPerSecond":
      return `${formatBytes(value)}/s`;
    case "bits":
      return scaled(value, 1000, ["b", "kb", "Mb", "Gb", "Tb"]);
    case "seconds":
      return formatSeconds(value);
    case "percent":
      return formatPercent(value);
    case "ratio":
      return formatPercent(value * 100);
    case "cores":
      return formatCores(value);
    case "perSecond":
      return `${formatCount(value)}/s`;
    case "timestamp":
      return value > 1e8 && value < 1e11
        ? new Date(value * 1000).toISOString().replace(/\.\d+Z/, "Z")
        : formatCount(value);
    default:
      return formatCount(value);
  }
}

/** The unit of a metric's own values, from its name. */
export function unitOf(metric: string): Unit {
  const base = metric.replace(/_(total|sum|bucket|created)$/, "");
  if (/_count$/.test(metric)) return "number";
  if (/timestamp_seconds$|_time_seconds$|_created$/.test(metric) && /timestamp|start_time|boot_time/.test(metric)) {
    return "timestamp";
  }
  if (/_bytes$|_bytes_/.test(base)) return "bytes";
  if (/_seconds$/.test(base)) return "seconds";
  if (/_percent$/.test(base)) return "percent";
  if (/_ratio$|_utilization$/.test(base)) return "ratio";
  if (/_cores$/.test(base)) return "cores";
  return "number";
}

/** The unit after rate(): seconds per second of CPU are cores, other seconds per second are a share of time. */
export function rateUnit(metric: string): Unit {
  if (/_count$|_bucket$/.test(metric)) return "perSecond";
  const unit = unitOf(metric);
  if (unit === "bytes") return "bytesPerSecond";
  if (unit === "seconds") return /cpu/.test(metric) ? "cores" : "ratio";
  return "perSecond";
}
