// The Jaeger query API, as far as the interface uses it, turned into the interface's own spans.

import { z } from "zod";
import type { Span, SpanTag, Trace } from "../lib/trace";
import { getJSON } from "./http";

const BASE = "/jaeger/api";

const tag = z
  .object({ key: z.string(), type: z.string().optional(), value: z.unknown() })
  .transform(({ key, type, value }): SpanTag => {
    const plain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    return { key, type: type ?? typeof value, value: plain ? value : JSON.stringify(value ?? null) };
  });
const tags = z
  .array(tag)
  .nullish()
  .transform((value) => value ?? []);

const span = z.object({
  traceID: z.string(),
  spanID: z.string(),
  operationName: z.string(),
  references: z
    .array(z.object({ refType: z.string(), traceID: z.string(), spanID: z.string() }))
    .nullish()
    .transform((value) => value ?? []),
  parentSpanID: z.string().nullish(),
  startTime: z.number(),
  duration: z.number(),
  tags,
  logs: z
    .array(z.object({ timestamp: z.number(), fields: tags }))
    .nullish()
    .transform((value) => value ?? []),
  processID: z.string().nullish(),
  process: z.object({ serviceName: z.string(), tags }).nullish(),
  warnings: z.array(z.string()).nullish(),
});

const trace = z.object({
  traceID: z.string(),
  spans: z.array(span),
  processes: z.record(z.string(), z.object({ serviceName: z.string(), tags })).nullish(),
  warnings: z.array(z.string()).nullish(),
});

const traceList = z.object({
  data: z
    .array(trace)
    .nullish()
    .transform((value) => value ?? []),
});

function convert(raw: z.infer<typeof trace>): Trace {
  return { id: raw.traceID, spans: raw.spans.map((item) => convertSpan(item, raw)) };
}

function convertSpan(raw: z.infer<typeof span>, owner: z.infer<typeof trace>): Span {
  const process = raw.process ?? owner.processes?.[raw.processID ?? ""];
  const parent = raw.references.find(
    (reference) => reference.refType === "CHILD_OF" && reference.traceID === raw.traceID,
  );
  const find = (key: string) => raw.tags.find((item) => item.key === key)?.value;
  const status = find("otel.status_code");
  const message = find("otel.status_description");
  const kind = find("span.kind");
  return {
    traceId: raw.traceID,
    spanId: raw.spanID,
    parentId: parent?.spanID ?? (raw.parentSpanID || undefined),
    name: raw.operationName,
    service: process?.serviceName ?? "unknown",
    start: raw.startTime,
    duration: raw.duration,
    tags: raw.tags,
    events: raw.logs.map((log) => ({ time: log.timestamp, fields: log.fields })),
    process: process?.tags ?? [],
    warnings: raw.warnings ?? [],
    error: find("error") === true || find("error") === "true" || status === "ERROR" || status === 2,
    kind: typeof kind === "string" ? kind : undefined,
    statusMessage: typeof message === "string" ? message : undefined,
  };
}

export async function services(signal?: AbortSignal): Promise<string[]> {
  const schema = z.object({
    data: z
      .array(z.string())
      .nullish()
      .transform((value) => value ?? []),
  });
  return (await getJSON(`${BASE}/services`, schema, { signal })).data.sort();
}

export async function operations(service: string, signal?: AbortSignal): Promise<string[]> {
  const name = z.union([z.string(), z.object({ name: z.string() }).transform((value) => value.name)]);
  const schema = z.object({
    data: z
      .array(name)
      .nullish()
      .transform((value) => value ?? []),
  });
  const body = await getJSON(`${BASE}/operations`, schema, { params: { service }, signal });
  return [...new Set(body.data)].sort();
}

export interface TraceSearch {
  service: string;
  operation?: string;
  tags?: Record<string, string>;
  /** Durations as typed: "100ms", "1.2s". */
  minDuration?: string;
  maxDuration?: string;
  limit: number;
  /** Epoch milliseconds. */
  from: number;
  to: number;
}

export async function searchTraces(search: TraceSearch, signal?: AbortSignal): Promise<Trace[]> {
  const withTags = search.tags && Object.keys(search.tags).length > 0;
  const body = await getJSON(`${BASE}/traces`, traceList, {
    params: {
      service: search.service,
      operation: search.operation || undefined,
      tags: withTags ? JSON.stringify(search.tags) : undefined,
      minDuration: search.minDuration || undefined,
      maxDuration: search.maxDuration || undefined,
      limit: search.limit,
      start: Math.round(search.from * 1000),
      end: Math.round(search.to * 1000),
    },
    signal,
  });
  return body.data.map(convert);
}

export async function traceById(id: string, signal?: AbortSignal): Promise<Trace | undefined> {
  const body = await getJSON(`${BASE}/traces/${encodeURIComponent(id)}`, traceList, { signal });
  const found = body.data[0];
  return found ? convert(found) : undefined;
}
