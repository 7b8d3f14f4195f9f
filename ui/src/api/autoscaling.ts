// What the autoscaler shipped: its decision records (through Loki's API) and its series (through Prometheus').

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useTime } from "../app/time";
import {
  type AutoscalerRef,
  type AutoscalerSummary,
  type DecisionRecord,
  parseRecord,
  summarizeAutoscalers,
} from "../lib/autoscaling";
import { type LogEntry, toEntries, traceIdOf } from "../lib/logs";
import { quote } from "../lib/promql";
import { queryLogs } from "./loki";
import { queryInstant } from "./prometheus";

const STREAM = '{service_name="yagura-autoscaler"}';

/** The query for one autoscaler's records. Named extractions, because a bare `| json` renames keys that collide with
 * stream labels, and `namespace` is one. */
export function recordsQuery(ref?: AutoscalerRef): string {
  if (!ref) return `${STREAM} | json`;
  return `${STREAM} | json target_namespace="namespace", autoscaler="name" | target_namespace=${quote(ref.namespace)} | autoscaler=${quote(ref.name)}`;
}

function toRecords(entries: LogEntry[]): DecisionRecord[] {
  return entries.flatMap((entry) => parseRecord(entry.line, entry.ms, entry.id, traceIdOf(entry)) ?? []);
}

export const RECORD_LIMIT = 2000;

export interface Records {
  records: DecisionRecord[];
  /** There are more than were fetched; the oldest are missing. */
  truncated: boolean;
}

/** Records of one autoscaler within the shared range, newest first. */
export function useRecords(ref: AutoscalerRef) {
  const { range } = useTime();
  const query = recordsQuery(ref);
  return useQuery({
    queryKey: ["records", query, range.from, range.to],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<Records> => {
      const streams = await queryLogs(
        query,
        { start: range.from, end: range.to + 1 },
        { limit: RECORD_LIMIT, direction: "backward" },
        signal,
      );
      const entries = toEntries(streams, "backward");
      return { records: toRecords(entries), truncated: entries.length >= RECORD_LIMIT };
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
        STREAM,
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
