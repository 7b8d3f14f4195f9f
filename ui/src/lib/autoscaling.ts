// Decision records and series of the autoscaler, put together on one time axis.
// Only what the autoscaler shipped is used: its log records and its yagura_autoscaler_* series.

import { acted, type DecisionRecord, type Occasion, occasionOf, weightOf } from "./decision";
import { type Column, holdSamples, type RawSeries } from "./series";

export interface AutoscalerRef {
  namespace: string;
  name: string;
}

export interface AutoscalerSummary extends AutoscalerRef {
  key: string;
  target: string;
  mode: string;
  current: number | null;
  desired: number | null;
  min: number | null;
  max: number | null;
  /** The newest decision about replicas, and the newest about sizes; a policy may be about one of them only. */
  horizontal?: DecisionRecord;
  vertical?: DecisionRecord;
}

export function autoscalerKey(ref: AutoscalerRef): string {
  return `${ref.namespace}/${ref.name}`;
}

/** A label set of an autoscaler series, as a reference. */
export function seriesRef(labels: Record<string, string>): AutoscalerRef | undefined {
  const namespace = labels.target_namespace;
  const name = labels.autoscaler;
  return namespace && name ? { namespace, name } : undefined;
}

/** Everything known about each autoscaler: the newest record, and the newest samples where they are newer. */
export function summarizeAutoscalers(
  records: DecisionRecord[],
  samples: { labels: Record<string, string>; value: number }[],
): AutoscalerSummary[] {
  const found = new Map<string, AutoscalerSummary>();
  const entry = (ref: AutoscalerRef): AutoscalerSummary => {
    const key = autoscalerKey(ref);
    let summary = found.get(key);
    if (!summary) {
      summary = {
        key,
        namespace: ref.namespace,
        name: ref.name,
        target: "",
        mode: "",
        current: null,
        desired: null,
        min: null,
        max: null,
      };
      found.set(key, summary);
    }
    return summary;
  };
  for (const record of records) {
    // Nodes belong to no workload, and have a page of their own.
    if (record.direction === "nodes") continue;
    const summary = entry(record);
    const known = summary[record.direction];
    if (!known || known.ms < record.ms) summary[record.direction] = record;
  }
  for (const summary of found.values()) {
    const { horizontal, vertical } = summary;
    const newest = (vertical?.ms ?? 0) > (horizontal?.ms ?? 0) ? vertical : horizontal;
    summary.mode = newest?.mode ?? "";
    summary.target = newest?.target.name ? `${newest.target.kind ?? ""}/${newest.target.name}` : "";
    summary.current = newest?.currentReplicas ?? null;
    summary.desired = horizontal?.desiredReplicas ?? null;
    summary.min = horizontal?.minReplicas ?? null;
    summary.max = horizontal?.maxReplicas ?? null;
  }
  for (const { labels, value } of samples) {
    const ref = seriesRef(labels);
    if (!ref || !Number.isFinite(value)) continue;
    const summary = entry(ref);
    switch (labels.__name__) {
      case "yagura_autoscaler_replicas_current":
        summary.current = value;
        break;
      case "yagura_autoscaler_replicas_desired":
        summary.desired = value;
        break;
      case "yagura_autoscaler_replicas_min":
        summary.min = value;
        break;
      case "yagura_autoscaler_replicas_max":
        summary.max = value;
        break;
    }
  }
  return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
}

/** The decision that says most about an autoscaler where there is room for one; of equals the newest. */
export function headline(summary: AutoscalerSummary): DecisionRecord | undefined {
  const { horizontal, vertical } = summary;
  if (!horizontal || !vertical) return horizontal ?? vertical;
  const difference = weightOf(occasionOf(vertical)) - weightOf(occasionOf(horizontal));
  return (difference || vertical.ms - horizontal.ms) > 0 ? vertical : horizontal;
}

export interface ObjectiveTrack {
  name: string;
  kind: string;
  unit: string;
  per: string;
  query: string;
  value: Column;
  target: Column;
}

export interface Timeline {
  /** Seconds since the epoch, on the query's grid. */
  times: number[];
  objectives: ObjectiveTrack[];
  current: Column;
  desired: Column;
  recommended: Column;
  min: Column;
  max: Column;
  markers: Marker[];
}

export interface Marker {
  ms: number;
  occasion: Occasion;
  record: DecisionRecord;
}

const REPLICA_COLUMNS = {
  yagura_autoscaler_replicas_current: "current",
  yagura_autoscaler_replicas_desired: "desired",
  yagura_autoscaler_replicas_recommended: "recommended",
  yagura_autoscaler_replicas_min: "min",
  yagura_autoscaler_replicas_max: "max",
} as const;

/**
 * Puts series and records on one grid. A series' sample is held until the next one, because gauges are exported more
 * slowly than the grid's step, but for at most `holdSeconds`: beyond that the autoscaler was silent, and the gap shows.
 * Where a series is missing altogether (records arrived, metrics did not) its column is filled from the records.
 */
export function assembleTimeline(
  records: DecisionRecord[],
  series: RawSeries[],
  grid: { start: number; end: number; step: number },
  holdSeconds = 90,
): Timeline {
  const count = Math.max(0, Math.floor((grid.end - grid.start) / grid.step + 1e-6) + 1);
  const times = Array.from({ length: count }, (_, index) => grid.start + index * grid.step);
  const empty = (): Column => new Array<number | null>(count).fill(null);
  const timeline: Timeline = {
    times,
    objectives: [],
    current: empty(),
    desired: empty(),
    recommended: empty(),
    min: empty(),
    max: empty(),
    markers: [],
  };
  const tracks = new Map<string, ObjectiveTrack>();
  const track = (name: string): ObjectiveTrack => {
    let found = tracks.get(name);
    if (!found) {
      found = { name, kind: "", unit: "", per: "", query: "", value: empty(), target: empty() };
      tracks.set(name, found);
    }
    return found;
  };
  const filled = new Set<Column>();
  const fill = (column: Column, samples: [number, number][]) => {
    holdSamples(column, samples, grid, holdSeconds);
    filled.add(column);
  };
  for (const { labels, samples } of series) {
    if (samples.length === 0) continue;
    const name = labels.__name__ ?? "";
    const replicas = REPLICA_COLUMNS[name as keyof typeof REPLICA_COLUMNS];
    if (replicas) fill(timeline[replicas], samples);
    else if (labels.objective && name === "yagura_autoscaler_objective_value")
      fill(track(labels.objective).value, samples);
    else if (labels.objective && name === "yagura_autoscaler_objective_target")
      fill(track(labels.objective).target, samples);
  }
  const sorted = [...records].sort((a, b) => a.ms - b.ms);
  const fromRecords = (column: Column, pick: (record: DecisionRecord) => number | null | undefined) => {
    if (filled.has(column)) return;
    const samples = sorted.flatMap((record): [number, number][] => {
      const value = pick(record);
      return value === null || value === undefined ? [] : [[record.ms / 1000, value]];
    });
    holdSamples(column, samples, grid, holdSeconds);
  };
  for (const record of sorted) {
    for (const objective of record.objectives) {
      const found = track(objective.name);
      found.kind = objective.kind || found.kind;
      found.unit = objective.unit || found.unit;
      found.per = objective.per || found.per;
      found.query = objective.query || found.query;
    }
  }
  fromRecords(timeline.current, (record) => record.currentReplicas);
  fromRecords(timeline.desired, (record) => record.desiredReplicas);
  fromRecords(timeline.recommended, (record) => record.recommendedReplicas);
  fromRecords(timeline.min, (record) => record.minReplicas);
  fromRecords(timeline.max, (record) => record.maxReplicas);
  for (const entry of tracks.values()) {
    const of = (record: DecisionRecord) => record.objectives.find((objective) => objective.name === entry.name);
    fromRecords(entry.value, (record) => of(record)?.value);
    fromRecords(entry.target, (record) => of(record)?.target);
  }
  timeline.objectives = [...tracks.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  timeline.markers = markersOf(sorted);
  return timeline;
}

/** Records worth a mark: every change, and where a hold or a failure begins or ends, not its minute-by-minute repeats. */
export function markersOf(sorted: DecisionRecord[]): Marker[] {
  const markers: Marker[] = [];
  let before: DecisionRecord | undefined;
  for (const record of sorted) {
    const changed =
      before === undefined ||
      before.outcome !== record.outcome ||
      (record.outcome !== "Unchanged" && before.desiredReplicas !== record.desiredReplicas);
    if (acted(record) || changed) markers.push({ ms: record.ms, occasion: occasionOf(record), record });
    before = record;
  }
  return markers;
}

/** Marks too close to be told apart, shown as one. */
export interface MarkerGroup {
  /** The mark that stands for all: the weightiest, and of equals the newest. */
  lead: Marker;
  markers: Marker[];
  /** Where the group stands, in the unit of `place`. */
  at: number;
}

/** Groups marks (in time order) whose places lie within `width` of the group's first. */
export function groupMarkers(markers: Marker[], place: (marker: Marker) => number, width: number): MarkerGroup[] {
  const groups: MarkerGroup[] = [];
  let first = Number.NEGATIVE_INFINITY;
  for (const marker of markers) {
    const at = place(marker);
    const group = groups.at(-1);
    if (group && at - first < width) {
      group.markers.push(marker);
      if (weightOf(marker.occasion) >= weightOf(group.lead.occasion)) group.lead = marker;
    } else {
      first = at;
      groups.push({ lead: marker, markers: [marker], at });
    }
  }
  return groups;
}
