// What the autoscaler shipped: its decision records (through Loki's API) and its series (through Prometheus').

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { useTime } from "../app/time";
import { type AutoscalerRef, type AutoscalerSummary, summarizeAutoscalers } from "../lib/autoscaling";
import { type DecisionRecord, parseRecord } from "../lib/decision";
import { type LogEntry, toEntries, traceIdOf } from "../lib/logs";
import { quote } from "../lib/promql";
import { queryLogs } from "./loki";
import { queryInstant } from "./prometheus";

const STREAM = '{service_name="yagura-autoscaler"}';
// As it stands in the line, so that lines of the other kind are left out before they are parsed.
const ABOUT_NODES = '`"direction":"Nodes"`';

/** Records about nodes; about one policy's, if it is named. */
export function nodeRecordsQuery(policy?: string): string {
  const all = `${STREAM} |= ${ABOUT_NODES}`;
  return policy === undefined ? all : `${all} | json policy="name" | policy=${quote(policy)}`;
}

/** The query for one autoscaler's records. Named extractions, because a bare `| json` renames keys that collide with
 * stream labels, and `namespace` is one. */
export function recordsQuery(ref?: AutoscalerRef): string {
  if (!ref) return `${STREAM} | json`;
  return `${STREAM} | json target_namespace="namespace", autoscaler="name" | target_namespace=${quote(ref.namespace)} | autoscaler=${quote(ref.name)}`;
}

function toRecords(entries: LogEntry[]): DecisionRecord[] {
  const seen = new Map<string, number>();
  return entries.flatMap((entry) => {
    // The instant names a record well enough, and stays short in a URL.
    const repeat = seen.get(entry.nanos) ?? 0;
    seen.set(entry.nanos, repeat + 1);
    const id = repeat === 0 ? entry.nanos : `${entry.nanos}.${repeat}`;
    return parseRecord(entry.line, entry.ms, id, traceIdOf(entry)) ?? [];
  });
}

export const RECORD_LIMIT = 2000;

export interface Records {
  /** Newest first. */
  records: DecisionRecord[];
  /** There are more than were fetched; the oldest are missing. */
  truncated: boolean;
}

interface Fetched extends Records {
  query: string;
  from: number;
  to: number;
  /** When the whole range was last asked for. */
  wholeAt: number;
}

// Records may arrive a little late, so the newest part is asked for again, and the whole now and then.
const OVERLAP_MS = 30_000;
const WHOLE_EVERY_MS = 60_000;

/**
 * Where to resume from what is known already, or undefined to ask for the whole range. Records weigh kilobytes, and a
 * page that refreshes every few seconds needs only the new ones.
 */
export function resumeAt(
  known: Omit<Fetched, "records"> | undefined,
  query: string,
  range: { from: number; to: number },
): number | undefined {
  if (!known || known.query !== query || known.truncated) return undefined;
  if (range.from < known.from || range.to < known.to || range.from > known.to) return undefined;
  if (range.to - known.wholeAt > WHOLE_EVERY_MS) return undefined;
  return Math.max(range.from, known.to - OVERLAP_MS);
}

/** Records of one autoscaler within the shared range. */
export function useRecords(ref: AutoscalerRef) {
  return useRecordsOf(recordsQuery(ref), RECORD_LIMIT);
}

// A record about nodes may name hundreds of them.
const NODE_RECORD_LIMIT = 500;

/** Records about nodes within the shared range. */
export function useNodeRecords() {
  return useRecordsOf(nodeRecordsQuery(), NODE_RECORD_LIMIT);
}

function useRecordsOf(query: string, limit: number) {
  const { range } = useTime();
  const known = useRef<Fetched>(undefined);
  return useQuery({
    queryKey: ["records", query, range.from, range.to],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<Records> => {
      const before = known.current;
      const resumed = resumeAt(before, query, range);
      const start = resumed ?? range.from;
      const streams = await queryLogs(query, { start, end: range.to + 1 }, { limit, direction: "backward" }, signal);
      const entries = toEntries(streams, "backward");
      const fresh = toRecords(entries);
      const names = new Set(fresh.map((record) => record.id));
      const kept =
        resumed === undefined
          ? []
          : (before?.records ?? []).filter((record) => record.ms >= range.from && !names.has(record.id));
      const records = [...fresh, ...kept].sort((a, b) => b.ms - a.ms);
      const truncated = entries.length >= limit;
      const wholeAt = resumed === undefined ? range.to : (before?.wholeAt ?? range.to);
      known.current = { query, from: range.from, to: range.to, wholeAt, records, truncated };
      return { records, truncated };
    },
  });
}

// A record is written at least once a minute, so a few minutes hold the newest of every autoscaler.
const RECENT_MS = 5 * 60_000;

/** All autoscalers, found from recent records and from the series, as of the end of the shared range. */
export function useAutoscalers(enabled = true): { list: AutoscalerSummary[]; isPending: boolean; error: Error | null } {
  const { range } = useTime();
  const end = range.to;
  const records = useQuery({
    queryKey: ["recent records", end],
    enabled,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const streams = await queryLogs(
        `${STREAM} != ${ABOUT_NODES}`,
        { start: end - RECENT_MS, end: end + 1 },
        { limit: 1000, direction: "backward" },
        signal,
      );
      return toRecords(toEntries(streams, "backward"));
    },
  });
  const samples = useQuery({
    queryKey: ["autoscaler samples", end],
    enabled,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) =>
      (await queryInstant('{__name__=~"yagura_autoscaler_replicas_.+"}', end, signal)).data,
  });
  return {
    list: summarizeAutoscalers(records.data ?? [], samples.data ?? []),
    isPending: records.isPending && samples.isPending,
    // One of the two is enough to show something; both failing is an error.
    error: records.error && samples.error ? records.error : null,
  };
}
