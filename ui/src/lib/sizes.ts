// What containers use, have and should have: the records about sizes and the yagura_autoscaler_size_* series, put
// together on one time axis. Quantities are in cores or bytes.

import { type Marker, markersOf } from "./autoscaling";
import type { DecisionRecord, PodAction, Size } from "./decision";
import { type Column, holdSamples, type RawSeries } from "./series";
import { formatValue, type Unit } from "./units";

/** One resource of one container. The role tells pods of one target apart that behave differently; most have none. */
export interface SizeRef {
  container: string;
  role: string;
  resource: string;
}

export function sizeKey({ container, role, resource }: SizeRef): string {
  return `${container}/${role}/${resource}`;
}

/** The container, with the role where there is one. */
export function containerName({ container, role }: Omit<SizeRef, "resource">): string {
  return role ? `${container} (${role})` : container;
}

export function resourceUnit(resource: string): Unit {
  if (resource === "cpu") return "cores";
  return /^(memory|ephemeral-storage|hugepages-.+)$/.test(resource) ? "bytes" : "number";
}

export function formatSize(value: number | null, resource: string): string {
  return formatValue(value, resourceUnit(resource));
}

// CPU and memory are in everybody's mind in this order; what else there is follows by name.
const RESOURCES = ["cpu", "memory"];

function bySize(a: SizeRef, b: SizeRef): number {
  const place = (resource: string) => (RESOURCES.includes(resource) ? RESOURCES.indexOf(resource) : RESOURCES.length);
  return (
    compare(a.container, b.container) ||
    compare(a.role, b.role) ||
    place(a.resource) - place(b.resource) ||
    compare(a.resource, b.resource)
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** How a request would change: 0.5 is half as much again, -0.5 half as much; null where that is unknown or nothing. */
export function changeOf({ request, desired }: Pick<Size, "request" | "desired">): number | null {
  if (request === null || desired === null || request <= 0 || request === desired) return null;
  return desired / request - 1;
}

/** Whether a container has another request than it should, the first one included. */
export function differs({ request, desired }: Pick<Size, "request" | "desired">): boolean {
  return desired !== null && request !== desired;
}

/** The sizes of a record that differ from what is in force, those with the largest factor first. */
export function changedSizes(record: DecisionRecord): Size[] {
  const factor = (size: Size) => {
    const change = changeOf(size);
    return change === null ? Number.POSITIVE_INFINITY : Math.max(1 + change, 1 / (1 + change));
  };
  return record.sizes.filter(differs).sort((a, b) => {
    const [left, right] = [factor(a), factor(b)];
    return left === right ? bySize(a, b) : right - left;
  });
}

/** A request on its way to another one, as people write it. */
export function sizeStep(size: Pick<Size, "request" | "desired" | "resource">): string {
  const { request, desired, resource } = size;
  if (desired === null || desired === request) return formatSize(request, resource);
  return request === null
    ? formatSize(desired, resource)
    : `${formatSize(request, resource)} → ${formatSize(desired, resource)}`;
}

/** How many pods an action came to what result for, such as "2 done, 1 blocked"; empty when nothing was done. */
export function podResults(pods: PodAction[]): string {
  const counts = new Map<string, number>();
  for (const { result } of pods) counts.set(result, (counts.get(result) ?? 0) + 1);
  return [...counts].map(([result, count]) => `${count} ${result.toLowerCase() || "unknown"}`).join(", ");
}

export interface SizeTrack extends SizeRef {
  key: string;
  usage: Column;
  request: Column;
  limit: Column;
  recommended: Column;
  desired: Column;
  /** The changes that were about this size. */
  markers: Marker[];
}

export interface SizeTimeline {
  /** Seconds since the epoch, on the query's grid. */
  times: number[];
  tracks: SizeTrack[];
  markers: Marker[];
}

const COLUMNS = ["usage", "request", "limit", "recommended", "desired"] as const;
const SERIES = new Map(COLUMNS.map((column) => [`yagura_autoscaler_size_${column}`, column]));

/**
 * Puts series and records about sizes on one grid, each sample held until the next one for at most `holdSeconds`. Where
 * a series is missing altogether its column is filled from the records.
 */
export function assembleSizes(
  records: DecisionRecord[],
  series: RawSeries[],
  grid: { start: number; end: number; step: number },
  holdSeconds = 90,
): SizeTimeline {
  const count = Math.max(0, Math.floor((grid.end - grid.start) / grid.step + 1e-6) + 1);
  const times = Array.from({ length: count }, (_, index) => grid.start + index * grid.step);
  const empty = (): Column => new Array<number | null>(count).fill(null);
  const tracks = new Map<string, SizeTrack>();
  const track = ({ container, role, resource }: SizeRef): SizeTrack => {
    const key = sizeKey({ container, role, resource });
    let found = tracks.get(key);
    if (!found) {
      const columns = { usage: empty(), request: empty(), limit: empty(), recommended: empty(), desired: empty() };
      found = { key, container, role, resource, ...columns, markers: [] };
      tracks.set(key, found);
    }
    return found;
  };
  const filled = new Set<Column>();
  for (const { labels, samples } of series) {
    const column = SERIES.get(labels.__name__ ?? "");
    const { target_container: container, role = "", resource } = labels;
    if (!column || !container || !resource || samples.length === 0) continue;
    const of = track({ container, role: role === "default" ? "" : role, resource });
    holdSamples(of[column], samples, grid, holdSeconds);
    filled.add(of[column]);
  }
  const sorted = [...records].sort((a, b) => a.ms - b.ms);
  const told = new Map<string, [number, Size][]>();
  for (const record of sorted) {
    for (const size of record.sizes) {
      const { key } = track(size);
      const list = told.get(key) ?? [];
      list.push([record.ms / 1000, size]);
      told.set(key, list);
    }
  }
  const markers = markersOf(sorted);
  for (const of of tracks.values()) {
    for (const column of COLUMNS) {
      if (filled.has(of[column])) continue;
      const samples = (told.get(of.key) ?? []).flatMap(([time, size]): [number, number][] => {
        const value = size[column];
        return value === null ? [] : [[time, value]];
      });
      holdSamples(of[column], samples, grid, holdSeconds);
    }
    of.markers = markers.filter(({ record }) => isAbout(record, of.key));
  }
  return { times, tracks: [...tracks.values()].sort(bySize), markers };
}

/** Whether a change was about a size: it names it as another one than is in force, or names no size at all. */
function isAbout(record: DecisionRecord, key: string): boolean {
  const changed = record.sizes.filter(differs);
  return changed.length === 0 || changed.some((size) => sizeKey(size) === key);
}

// A limit that is far above everything else would press the curves to the ground.
const LIMIT_SHARE = 4;

/** Whether a limit can be drawn with the rest without hiding it. */
export function limitFits(track: SizeTrack): boolean {
  const peak = (column: Column) => column.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
  const rest = Math.max(peak(track.usage), peak(track.request), peak(track.recommended), peak(track.desired));
  return rest === 0 || peak(track.limit) <= LIMIT_SHARE * rest;
}

/** The sizes as of now: what the newest record says, else what the series do. */
export function newestSizes(record: DecisionRecord | undefined, timeline: SizeTimeline | undefined): Size[] {
  if (record) return [...record.sizes].sort(bySize);
  const last = (column: Column) => column.findLast((value) => value !== null) ?? null;
  return (timeline?.tracks ?? []).map((track) => ({
    container: track.container,
    role: track.role,
    resource: track.resource,
    usage: last(track.usage),
    request: last(track.request),
    limit: last(track.limit),
    recommended: last(track.recommended),
    desired: last(track.desired),
    desiredLimit: null,
    model: "",
    confidence: null,
    state: "",
    reason: "",
    verdicts: [],
  }));
}
