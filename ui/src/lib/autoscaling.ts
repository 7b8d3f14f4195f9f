// Decision records and series of the autoscaler, put together on one time axis.
// Only what the autoscaler shipped is used: its log records and its yagura_autoscaler_* series.

import { z } from "zod";
import type { RawSeries } from "./series";

export const OUTCOMES = ["ScaledOut", "ScaledIn", "Unchanged", "Held", "Recommended", "Observed", "Failed"] as const;
export type Outcome = (typeof OUTCOMES)[number] | "Unknown";

const outcomeSchema = z
  .string()
  .transform((text): Outcome => ((OUTCOMES as readonly string[]).includes(text) ? (text as Outcome) : "Unknown"));
const count = z
  .number()
  .nullish()
  .transform((value) => value ?? null);

const objectiveSchema = z.object({
  name: z.string(),
  kind: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  query: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  value: z
    .number()
    .nullish()
    .transform((value) => value ?? null),
  target: z
    .number()
    .nullish()
    .transform((value) => value ?? null),
  unit: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  per: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  replicas: count,
  state: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  ageSeconds: z
    .number()
    .nullish()
    .transform((value) => value ?? null),
  reason: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
});

const verdictSchema = z.object({
  rule: z.string(),
  action: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  from: count,
  to: count,
  reason: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
});

/** One decision, as the autoscaler logs it. Unknown keys are kept out, missing ones stay empty. */
export const recordSchema = z.object({
  namespace: z.string(),
  name: z.string(),
  target: z
    .object({ apiVersion: z.string().optional(), kind: z.string().optional(), name: z.string().optional() })
    .nullish()
    .transform((value) => value ?? {}),
  mode: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  time: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  outcome: outcomeSchema,
  reason: z
    .string()
    .nullish()
    .transform((value) => value ?? ""),
  currentReplicas: count,
  readyReplicas: count,
  recommendedReplicas: count,
  desiredReplicas: count,
  minReplicas: count,
  maxReplicas: count,
  objectives: z
    .array(objectiveSchema)
    .nullish()
    .transform((value) => value ?? []),
  verdicts: z
    .array(verdictSchema)
    .nullish()
    .transform((value) => value ?? []),
  equalTicks: z
    .number()
    .nullish()
    .transform((value) => value ?? 0),
});

export type DecisionRecord = z.infer<typeof recordSchema> & {
  /** Epoch milliseconds: the record's own time, else that of its log entry. */
  ms: number;
  id: string;
  traceId?: string;
};

export type Objective = DecisionRecord["objectives"][number];
export type Verdict = DecisionRecord["verdicts"][number];

/** Reads a log line as a record. The autoscaler also logs ordinary lines, which are simply not records. */
export function parseRecord(line: string, entryMs: number, id: string, traceId?: string): DecisionRecord | undefined {
  let body: unknown;
  try {
    body = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = recordSchema.safeParse(body);
  if (!parsed.success) return undefined;
  const own = Date.parse(parsed.data.time);
  return { ...parsed.data, ms: Number.isNaN(own) ? entryMs : own, id, traceId };
}

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
  latest?: DecisionRecord;
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
    const summary = entry(record);
    if (summary.latest && summary.latest.ms >= record.ms) continue;
    summary.latest = record;
    summary.mode = record.mode;
    summary.target = record.target.name ? `${record.target.kind ?? ""}/${record.target.name}` : "";
    summary.current = record.currentReplicas;
    summary.desired = record.desiredReplicas;
    summary.min = record.minReplicas;
    summary.max = record.maxReplicas;
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

export type Column = (number | null)[];

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
  outcome: Outcome;
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
    hold(column, samples, grid, holdSeconds);
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
    hold(column, samples, grid, holdSeconds);
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

function hold(column: Column, samples: [number, number][], grid: { start: number; step: number }, holdSeconds: number) {
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

/** Records worth a mark: every change, and where a hold or a failure begins or ends, not its minute-by-minute repeats. */
export function markersOf(sorted: DecisionRecord[]): Marker[] {
  const markers: Marker[] = [];
  let before: DecisionRecord | undefined;
  for (const record of sorted) {
    const acted = record.outcome === "ScaledOut" || record.outcome === "ScaledIn";
    const changed =
      before === undefined ||
      before.outcome !== record.outcome ||
      (record.outcome !== "Unchanged" && before.desiredReplicas !== record.desiredReplicas);
    if (acted || changed) markers.push({ ms: record.ms, outcome: record.outcome, record });
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

const WEIGHT: Record<Outcome, number> = {
  Failed: 6,
  ScaledOut: 5,
  ScaledIn: 5,
  Held: 4,
  Recommended: 3,
  Observed: 2,
  Unchanged: 1,
  Unknown: 0,
};

/** Groups marks (in time order) whose places lie within `width` of the group's first. */
export function groupMarkers(markers: Marker[], place: (marker: Marker) => number, width: number): MarkerGroup[] {
  const groups: MarkerGroup[] = [];
  let first = Number.NEGATIVE_INFINITY;
  for (const marker of markers) {
    const at = place(marker);
    const group = groups.at(-1);
    if (group && at - first < width) {
      group.markers.push(marker);
      if (WEIGHT[marker.outcome] >= WEIGHT[group.lead.outcome]) group.lead = marker;
    } else {
      first = at;
      groups.push({ lead: marker, markers: [marker], at });
    }
  }
  return groups;
}

/** One sentence for a verdict's effect on the number of replicas. */
export function verdictStep(verdict: Verdict): string {
  const { from, to } = verdict;
  if (from === null && to === null) return "–";
  if (from === to || to === null) return String(from ?? to);
  return from === null ? String(to) : `${from} → ${to}`;
}

/** What was cut, by which rule: the verdicts that changed or held the number. */
export function decidingVerdicts(record: DecisionRecord): Verdict[] {
  return record.verdicts.filter((verdict) => verdict.action === "Hold" || verdict.action === "Change");
}
