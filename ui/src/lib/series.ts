// Answers of range queries turned into columns that a chart can draw.

export type Labels = Record<string, string>;

/** One series of a range query; sample times are seconds since the epoch. */
export interface RawSeries {
  labels: Labels;
  samples: [number, number][];
}

/** One series of an instant query; the time is seconds since the epoch. */
export interface VectorSample {
  labels: Labels;
  time: number;
  value: number;
}

export interface Frame {
  /** Seconds since the epoch, one per step. */
  times: number[];
  /** One column per series, null where there is no sample. */
  columns: (number | null)[][];
}

/**
 * Puts series onto the grid of the query. The grid and not the union of the samples, because a hole that all
 * series share must still show as a hole.
 */
export function alignSeries(series: RawSeries[], start: number, end: number, step: number): Frame {
  const count = Math.max(0, Math.floor((end - start) / step + 1e-6) + 1);
  const times = Array.from({ length: count }, (_, index) => start + index * step);
  const columns = series.map((entry) => {
    const column = new Array<number | null>(count).fill(null);
    for (const [time, value] of entry.samples) {
      const index = Math.round((time - start) / step);
      if (index >= 0 && index < count && Number.isFinite(value)) column[index] = value;
    }
    return column;
  });
  return { times, columns };
}

/** Values on a grid, null where nothing is known. */
export type Column = (number | null)[];

/**
 * Fills a column with samples, each held until the next one, for what is exported more slowly than the grid's step; but
 * for at most `holdSeconds`, beyond which the silence shows.
 */
export function holdSamples(
  column: Column,
  samples: [number, number][],
  grid: { start: number; step: number },
  holdSeconds: number,
) {
  let next = 0;
  let last: [number, number] | undefined;
  for (let index = 0; index < column.length; index++) {
    const time = grid.start + index * grid.step;
    // A sample belongs to the grid point at or after it.
    while (next < samples.length && (samples[next] as [number, number])[0] <= time + 1e-6) last = samples[next++];
    if (last && time - last[0] <= Math.max(holdSeconds, grid.step)) {
      column[index] = Number.isFinite(last[1]) ? last[1] : null;
    }
  }
}

/** Labels that differ between the series, in the order people look for them. */
export function distinguishingLabels(all: Labels[]): string[] {
  const values = new Map<string, Set<string>>();
  for (const labels of all) {
    for (const [name, value] of Object.entries(labels)) {
      if (name === "__name__") continue;
      const seen = values.get(name) ?? new Set();
      seen.add(value);
      values.set(name, seen);
    }
  }
  return [...values]
    .filter(([name, seen]) => seen.size > 1 || all.some((labels) => !(name in labels)))
    .map(([name]) => name)
    .sort(byImportance);
}

const ORDER = ["cluster", "namespace", "service_name", "pod", "container", "node"];

export function byImportance(a: string, b: string): number {
  const left = ORDER.indexOf(a);
  const right = ORDER.indexOf(b);
  if (left >= 0 || right >= 0) return (left < 0 ? ORDER.length : left) - (right < 0 ? ORDER.length : right);
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A short name for each series: only what tells it apart from the others. */
export function seriesNames(all: Labels[], fallback = "value"): string[] {
  const telling = distinguishingLabels(all);
  const metrics = new Set(all.map((labels) => labels.__name__ ?? ""));
  return all.map((labels) => {
    const metric = labels.__name__;
    const parts = telling
      .filter((name) => labels[name])
      .map((name) => (telling.length === 1 ? labels[name] : `${name}=${labels[name]}`));
    const prefix = metrics.size > 1 && metric ? metric : "";
    if (parts.length === 0) return prefix || (all.length === 1 ? (metric ?? fallback) : fallback);
    return prefix ? `${prefix} ${parts.join(" ")}` : parts.join(" ");
  });
}

/** `{a="b", c="d"}` with the metric name in front, for titles and copying. */
export function formatLabels(labels: Labels): string {
  const parts = Object.entries(labels)
    .filter(([name]) => name !== "__name__")
    .sort(([a], [b]) => byImportance(a, b))
    .map(([name, value]) => `${name}="${value}"`);
  return `${labels.__name__ ?? ""}{${parts.join(", ")}}`;
}

export interface Summary {
  last: number | null;
  min: number | null;
  max: number | null;
  mean: number | null;
}

export function summarize(column: (number | null)[]): Summary {
  let last: number | null = null;
  let min: number | null = null;
  let max: number | null = null;
  let sum = 0;
  let count = 0;
  for (const value of column) {
    if (value === null) continue;
    last = value;
    min = min === null ? value : Math.min(min, value);
    max = max === null ? value : Math.max(max, value);
    sum += value;
    count++;
  }
  return { last, min, max, mean: count === 0 ? null : sum / count };
}

/** Indexes of the `count` columns with the greatest maximum, in their own order; all of them if they are no more. */
export function largest(columns: (number | null)[][], count: number): number[] {
  const indexes = columns.map((_, index) => index);
  if (columns.length <= count) return indexes;
  const peaks = columns.map((column) => summarize(column).max ?? Number.NEGATIVE_INFINITY);
  return indexes
    .sort((a, b) => (peaks[b] as number) - (peaks[a] as number))
    .slice(0, count)
    .sort((a, b) => a - b);
}
