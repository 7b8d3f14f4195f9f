// The Prometheus HTTP API, as far as the interface uses it.

import { z } from "zod";
import type { RawSeries, VectorSample } from "../lib/series";
import { getJSON } from "./http";

const BASE = "/prometheus/api/v1";

const labels = z.record(z.string(), z.string());
// Values travel as text, so that NaN and infinities survive JSON.
const sample = z
  .tuple([z.number(), z.string()])
  .transform(([time, value]): [number, number] => [time, parseSample(value)]);

export function parseSample(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  return text === "NaN" ? Number.NaN : Number(text);
}

const envelope = <T extends z.ZodType>(data: T) =>
  z.object({
    data,
    warnings: z.array(z.string()).optional(),
    infos: z.array(z.string()).optional(),
  });

const vectorItem = z.object({ metric: labels, value: sample.optional(), histogram: z.unknown().optional() });
const matrixItem = z.object({ metric: labels, values: z.array(sample).optional() });

const instantData = z.discriminatedUnion("resultType", [
  z.object({ resultType: z.literal("vector"), result: z.array(vectorItem) }),
  z.object({ resultType: z.literal("matrix"), result: z.array(matrixItem) }),
  z.object({ resultType: z.literal("scalar"), result: sample }),
  z.object({ resultType: z.literal("string"), result: z.tuple([z.number(), z.string()]) }),
]);

export interface Answer<T> {
  data: T;
  warnings: string[];
}

/** An instant query as a vector; a scalar becomes one sample without labels. `time` in epoch milliseconds. */
export async function queryInstant(query: string, time: number, signal?: AbortSignal): Promise<Answer<VectorSample[]>> {
  const body = await getJSON(`${BASE}/query`, envelope(instantData), {
    params: { query, time: time / 1000 },
    form: true,
    signal,
  });
  const warnings = body.warnings ?? [];
  switch (body.data.resultType) {
    case "vector":
      return {
        warnings,
        data: body.data.result.flatMap((item) =>
          item.value ? [{ labels: item.metric, time: item.value[0], value: item.value[1] }] : [],
        ),
      };
    case "scalar":
      return { warnings, data: [{ labels: {}, time: body.data.result[0], value: body.data.result[1] }] };
    case "matrix":
      return {
        warnings,
        data: body.data.result.flatMap((item) => {
          const last = item.values?.at(-1);
          return last ? [{ labels: item.metric, time: last[0], value: last[1] }] : [];
        }),
      };
    default:
      return { warnings, data: [] };
  }
}

export interface RangeParams {
  /** Epoch milliseconds. */
  start: number;
  end: number;
  /** Seconds. */
  step: number;
}

export async function queryRange(
  query: string,
  range: RangeParams,
  signal?: AbortSignal,
): Promise<Answer<RawSeries[]>> {
  const data = z.object({ resultType: z.string(), result: z.array(matrixItem) });
  const body = await getJSON(`${BASE}/query_range`, envelope(data), {
    params: { query, start: range.start / 1000, end: range.end / 1000, step: range.step },
    form: true,
    signal,
  });
  return {
    warnings: body.warnings ?? [],
    data: body.data.result.map((item) => ({ labels: item.metric, samples: item.values ?? [] })),
  };
}

const strings = z
  .array(z.string())
  .nullish()
  .transform((value) => value ?? []);

export async function labelValues(
  label: string,
  match: string | undefined,
  range: { from: number; to: number },
  signal?: AbortSignal,
): Promise<string[]> {
  const body = await getJSON(`${BASE}/label/${encodeURIComponent(label)}/values`, envelope(strings), {
    params: { start: range.from / 1000, end: range.to / 1000, ...(match ? { "match[]": [match] } : {}) },
    signal,
  });
  return body.data;
}

export async function labelNames(
  match: string | undefined,
  range: { from: number; to: number },
  signal?: AbortSignal,
): Promise<string[]> {
  const body = await getJSON(`${BASE}/labels`, envelope(strings), {
    params: { start: range.from / 1000, end: range.to / 1000, ...(match ? { "match[]": [match] } : {}) },
    signal,
  });
  return body.data;
}

const metadataItem = z.object({ type: z.string(), help: z.string(), unit: z.string().optional() });
export type Metadata = Record<string, z.infer<typeof metadataItem>[]>;

export async function metadata(signal?: AbortSignal): Promise<Metadata> {
  const data = z
    .record(z.string(), z.array(metadataItem))
    .nullish()
    .transform((value) => value ?? {});
  return (await getJSON(`${BASE}/metadata`, envelope(data), { signal })).data;
}

const build = z.object({
  version: z.string().optional(),
  revision: z.string().optional(),
  branch: z.string().optional(),
  buildDate: z.string().optional(),
  goVersion: z.string().optional(),
});
export type BuildInfo = z.infer<typeof build>;

export async function buildInfo(signal?: AbortSignal): Promise<BuildInfo> {
  return (await getJSON(`${BASE}/status/buildinfo`, envelope(build), { signal })).data;
}
