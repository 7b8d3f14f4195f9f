// The questions behind the log explorer.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useCoarseRange } from "../../api/hooks";
import { type Direction, logLabels, queryLogMetric, queryLogs } from "../../api/loki";
import { useTime } from "../../app/time";
import { histogramQuery } from "../../lib/logql";
import { isGap, type LogEntry, mergeLive, toEntries } from "../../lib/logs";
import { alignSeries } from "../../lib/series";
import { alignRange, stepSeconds } from "../../lib/time";

export function useStreamLabels() {
  const range = useCoarseRange();
  return useQuery({
    queryKey: ["log labels", range.from, range.to],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => logLabels({ start: range.from, end: range.to }, signal),
  });
}

export interface LinesQuery {
  expr: string;
  direction: Direction;
  limit: number;
  enabled: boolean;
}

/** The lines of the shared range. The newest instant is included, which Loki's exclusive end would leave out. */
export function useLines({ expr, direction, limit, enabled }: LinesQuery) {
  const { range } = useTime();
  const labels = useStreamLabels();
  const indexed = labels.data;
  return useQuery({
    queryKey: ["log lines", expr, direction, limit, range.from, range.to, indexed?.join(",")],
    enabled: enabled && expr !== "" && !labels.isPending,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const streams = await queryLogs(expr, { start: range.from, end: range.to + 1 }, { limit, direction }, signal);
      const entries = toEntries(streams, direction, indexed ? new Set(indexed) : undefined);
      return { entries, full: entries.length >= limit };
    },
  });
}

const HISTOGRAM_POINTS = 80;

/** How many lines over the range, by severity. */
export function useHistogram(expr: string, enabled: boolean) {
  const { range } = useTime();
  const step = stepSeconds(range, HISTOGRAM_POINTS);
  // Not moved onto round times: the bars must count the lines of this very range.
  const { from, to } = range;
  return useQuery({
    queryKey: ["log histogram", expr, from, to, step],
    enabled: enabled && expr !== "",
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const series = await queryLogMetric(
        histogramQuery(expr, step),
        { start: from + step * 1000, end: to + step * 1000 - 1 },
        step,
        signal,
      );
      // A bar at t counts the step that ends at t; it is drawn over that step.
      const shifted = series.map((entry) => ({
        labels: entry.labels,
        samples: entry.samples.map(([time, value]): [number, number] => [time - step, value]),
      }));
      return {
        labels: shifted.map((entry) => entry.labels),
        frame: alignSeries(shifted, from / 1000, to / 1000 - 0.001, step),
        end: to / 1000,
        step,
      };
    },
  });
}

/** A metric query written into the log explorer. */
export function useLogMetric(expr: string, enabled: boolean) {
  const { range } = useTime();
  const step = stepSeconds(range, 300);
  const { from, to } = alignRange(range, step);
  return useQuery({
    queryKey: ["log metric", expr, from, to, step],
    enabled: enabled && expr !== "",
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const series = await queryLogMetric(expr, { start: from, end: to }, step, signal);
      return { series, frame: alignSeries(series, from / 1000, to / 1000, step), step };
    },
  });
}

const LIVE_INTERVAL_MS = 1000;
const LIVE_KEPT = 2000;
const LIVE_BATCH = 1000;
// Lines may be written a little late; asking for the last seconds again finds them, and repeats are recognised.
const LIVE_OVERLAP_MS = 3000;

export interface Live {
  entries: LogEntry[];
  error: Error | null;
  /** More lines arrived at once than one answer holds: some were passed over. */
  skipped: boolean;
}

/** The newest lines, asked for every second while enabled. */
export function useLive(expr: string, enabled: boolean, indexed: string[] | undefined): Live {
  const [state, setState] = useState<Live>({ entries: [], error: null, skipped: false });
  const labels = useRef(indexed);
  labels.current = indexed;
  useEffect(() => {
    setState({ entries: [], error: null, skipped: false });
    if (!enabled || expr === "") return;
    const abort = new AbortController();
    let timer = 0;
    let since = Date.now() - 60_000;
    const poll = async () => {
      if (!document.hidden) {
        try {
          const end = Date.now();
          const streams = await queryLogs(
            expr,
            { start: since - LIVE_OVERLAP_MS, end: end + 1000 },
            { limit: LIVE_BATCH, direction: "backward" },
            abort.signal,
          );
          const arrived = toEntries(streams, "backward", labels.current ? new Set(labels.current) : undefined);
          since = end;
          setState((before) => ({
            entries: mergeLive(before.entries, arrived, LIVE_KEPT),
            error: null,
            skipped: arrived.length >= LIVE_BATCH && isGap(before.entries, arrived),
          }));
        } catch (error) {
          if (abort.signal.aborted) return;
          setState((before) => ({ ...before, error: error as Error }));
        }
      }
      if (!abort.signal.aborted) timer = window.setTimeout(poll, LIVE_INTERVAL_MS);
    };
    void poll();
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [expr, enabled]);
  return state;
}
