// The Loki HTTP API, as far as the interface uses it.

import { z } from "zod";
import type { RawStream } from "../lib/logs";
import type { RawSeries } from "../lib/series";
import { getJSON } from "./http";
import { parseSample } from "./prometheus";

const BASE = "/loki/api/v1";

// Asks the store to keep stream labels, structured metadata and parsed labels apart.
const CATEGORIZE = { "X-Loki-Response-Encoding-Flags": "categorize-labels" };

const labels = z.record(z.string(), z.string());
const categories = z.object({ structuredMetadata: labels.optional(), parsed: labels.optional() });
const entry = z
  .tuple([z.string(), z.string()])
  .rest(z.unknown())
  .transform(([nanos, line, third]) => {
    const extra = categories.safeParse(third);
    return { nanos, line, metadata: extra.data?.structuredMetadata, parsed: extra.data?.parsed };
  });
const sample = z
  .tuple([z.number(), z.string()])
  .transform(([time, value]): [number, number] => [time, parseSample(value)]);

const streams = z.object({
  resultType: z.literal("streams"),
  result: z.array(z.object({ stream: labels, values: z.array(entry) })),
});
const matrix = z.object({
  resultType: z.literal("matrix"),
  result: z.array(z.object({ metric: labels, values: z.array(sample) })),
});
const vector = z.object({
  resultType: z.literal("vector"),
  result: z.array(z.object({ metric: labels, value: sample })),
});

const rangeBody = z.object({ data: z.discriminatedUnion("resultType", [streams, matrix, vector]) });

export interface LogRange {
  /** Epoch milliseconds, or nanoseconds as text where the exact instant matters. */
  start: number | string;
  /** Exclusive, as in Loki. */
  end: number | string;
}

export type Direction = "backward" | "forward";

/** Milliseconds as nanoseconds in text: the product exceeds the exact integers of a double. */
export function toNanos(time: number | string): string {
  return typeof time === "string" ? time : `${Math.round(time)}000000`;
}

export async function queryLogs(
  query: string,
  range: LogRange,
  options: { limit: number; direction: Direction },
  signal?: AbortSignal,
): Promise<RawStream[]> {
  const body = await getJSON(`${BASE}/query_range`, rangeBody, {
    params: {
      query,
      start: toNanos(range.start),
      end: toNanos(range.end),
      limit: options.limit,
      direction: options.direction,
    },
    form: true,
    headers: CATEGORIZE,
    signal,
  });
  return body.data.resultType === "streams" ? body.data.result : [];
}

/** A LogQL metric query over a range. `step` in seconds. */
export async function queryLogMetric(
  query: string,
  range: LogRange,
  step: number,
  signal?: AbortSignal,
): Promise<RawSeries[]> {
  const body = await getJSON(`${BASE}/query_range`, rangeBody, {
    params: { query, start: toNanos(range.start), end: toNanos(range.end), step: `${step}s` },
    form: true,
    signal,
  });
  switch (body.data.resultType) {
    case "matrix":
      return body.data.result.map((item) => ({ labels: item.metric, samples: item.values }));
    case "vector":
      return body.data.result.map((item) => ({ labels: item.metric, samples: [item.value] }));
    default:
      return [];
  }
}

const strings = z.object({
  data: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
});

export async function logLabels(range: LogRange, signal?: AbortSignal): Promise<string[]> {
  const body = await getJSON(`${BASE}/labels`, strings, {
    params: { start: toNanos(range.start), end: toNanos(range.end) },
    signal,
  });
  return body.data;
}

export async function logLabelValues(
  label: string,
  query: string | undefined,
  range: LogRange,
  signal?: AbortSignal,
): Promise<string[]> {
  const body = await getJSON(`${BASE}/label/${encodeURIComponent(label)}/values`, strings, {
    params: { start: toNanos(range.start), end: toNanos(range.end), query },
    signal,
  });
  return body.data;
}
