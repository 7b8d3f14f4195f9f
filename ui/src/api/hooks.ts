// Questions bound to the shared time range.

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTime } from "../app/time";
import { combineQueries, PART } from "../lib/promql";
import { alignSeries, type Frame, type RawSeries, type VectorSample } from "../lib/series";
import { alignRange, stepSeconds, type TimeRange } from "../lib/time";
import { type Answer, labelNames, labelValues, metadata, queryInstant, queryRange } from "./prometheus";

export interface RangeAnswer {
  series: RawSeries[];
  frame: Frame;
  step: number;
  warnings: string[];
}

export interface RangeOptions {
  /** Roughly how many points to ask for; the step is rounded up to a round number. */
  points?: number;
  minStep?: number;
  enabled?: boolean;
  range?: TimeRange;
}

/** A PromQL range query over the shared range, on its own grid. `build` gets the step, for windows that depend on it. */
export function usePromRange(build: string | ((step: number) => string), options: RangeOptions = {}) {
  const shared = useTime().range;
  const range = options.range ?? shared;
  const step = Math.max(stepSeconds(range, options.points ?? 300), options.minStep ?? 1);
  const query = typeof build === "string" ? build : build(step);
  const { from, to } = alignRange(range, step);
  return useQuery({
    queryKey: ["prom range", query, from, to, step],
    enabled: options.enabled !== false && query !== "",
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }): Promise<RangeAnswer> => {
      const answer = await queryRange(query, { start: from, end: to, step }, signal);
      return {
        series: answer.data,
        frame: alignSeries(answer.data, from / 1000, to / 1000, step),
        step,
        warnings: answer.warnings,
      };
    },
  });
}

/** A PromQL instant query at the end of the shared range. */
export function usePromInstant(query: string, options: { enabled?: boolean } = {}) {
  const { range } = useTime();
  const time = Math.floor(range.to / 1000) * 1000;
  return useQuery({
    queryKey: ["prom instant", query, time],
    enabled: options.enabled !== false && query !== "",
    placeholderData: keepPreviousData,
    queryFn: ({ signal }): Promise<Answer<VectorSample[]>> => queryInstant(query, time, signal),
  });
}

/** Several range queries in one request; the answer is found under each part's name. Parts without samples are missing. */
export function usePromRangeParts(build: (step: number) => Record<string, string>, options: RangeOptions = {}) {
  const answer = usePromRange((step) => combineQueries(build(step)), options);
  const parts = useMemo(() => {
    const found = new Map<string, (number | null)[]>();
    answer.data?.series.forEach((series, index) => {
      const column = answer.data.frame.columns[index];
      if (column) found.set(series.labels[PART] ?? "", column);
    });
    return found;
  }, [answer.data]);
  return { ...answer, parts };
}

/** Several instant queries in one request, as samples by part. */
export function usePromInstantParts<Name extends string>(queries: Record<Name, string>) {
  const answer = usePromInstant(combineQueries(queries));
  const parts = useMemo(() => {
    const found: Partial<Record<Name, VectorSample[]>> = {};
    for (const { labels, ...sample } of answer.data?.data ?? []) {
      const { [PART]: name, ...rest } = labels;
      const list = found[name as Name] ?? [];
      list.push({ ...sample, labels: rest });
      found[name as Name] = list;
    }
    return found;
  }, [answer.data]);
  return { ...answer, parts };
}

const COARSE_MS = 60_000;

/** The range as label queries use it: coarse, so that a refreshing page does not ask for names each time. */
export function useCoarseRange(): TimeRange {
  const { range } = useTime();
  const from = Math.floor(range.from / COARSE_MS) * COARSE_MS;
  const to = Math.ceil(range.to / COARSE_MS) * COARSE_MS;
  return useMemo(() => ({ from, to }), [from, to]);
}

export function useLabelValues(label: string, match?: string, enabled = true) {
  const range = useCoarseRange();
  return useQuery({
    queryKey: ["label values", label, match, range.from, range.to],
    enabled: enabled && label !== "",
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => labelValues(label, match, range, signal),
  });
}

export function useLabelNames(match?: string, enabled = true) {
  const range = useCoarseRange();
  return useQuery({
    queryKey: ["label names", match, range.from, range.to],
    enabled,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => labelNames(match, range, signal),
  });
}

export function useMetadata() {
  return useQuery({
    queryKey: ["metadata"],
    queryFn: ({ signal }) => metadata(signal),
    staleTime: 300_000,
    gcTime: 600_000,
  });
}

/**
 * How often a selector's series get samples, in seconds, counted over the last two minutes (ten for slow ones).
 * Undefined while unknown.
 */
export function useScrapeInterval(selector: string): number | undefined {
  const { range } = useTime();
  const time = Math.floor(range.to / 60_000) * 60_000;
  const found = useQuery({
    queryKey: ["scrape interval", selector, time],
    enabled: selector !== "",
    staleTime: 300_000,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      for (const minutes of [2, 10]) {
        const answer = await queryInstant(`max(count_over_time(${selector}[${minutes}m]))`, range.to, signal);
        const count = answer.data[0]?.value ?? 0;
        if (count >= 2) return roundInterval((minutes * 60) / count);
      }
      return 60;
    },
  });
  return found.data;
}

const INTERVALS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300];

/** The usual interval next to a measured one: counts are off by one, and young series look slow. */
export function roundInterval(measured: number): number {
  return INTERVALS.find((interval) => measured <= interval * 1.25) ?? 300;
}
