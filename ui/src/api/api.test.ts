import { afterEach, describe, expect, it, vi } from "vitest";
import { recordsQuery, resumeAt } from "./autoscaling";
import { ApiError, readError } from "./http";
import { searchTraces } from "./jaeger";
import { queryLogs, toNanos } from "./loki";
import { queryInstant, queryRange } from "./prometheus";

function answer(body: unknown, status = 200) {
  const mock = vi.fn<typeof fetch>(
    async () => new Response(typeof body === "string" ? body : JSON.stringify(body), { status }),
  );
  vi.stubGlobal("fetch", mock);
  return mock;
}

afterEach(() => vi.unstubAllGlobals());

describe("errors", () => {
  it.each([
    ['{"status":"error","errorType":"bad_data","error":"1:2: parse error"}', "1:2: parse error"],
    ['{"errors":[{"code":404,"msg":"trace not found"}]}', "trace not found"],
    ['{"message":"Not Found"}', "Not Found"],
    ["parse error at line 1", "parse error at line 1"],
    ["<html>proxy</html>", "The query service answered with status 400."],
  ])("reads %s", (text, want) => expect(readError(text, 400).message).toBe(want));
  it("tells a refused question from a service in trouble", () => {
    expect(new ApiError("", 400).permanent).toBe(true);
    expect(new ApiError("", 429).permanent).toBe(false);
    expect(new ApiError("", 503).permanent).toBe(false);
    expect(new ApiError("", 0).permanent).toBe(false);
  });
  it("says when there is no answer", async () => {
    vi.stubGlobal("fetch", vi.fn().mockRejectedValue(new TypeError("fetch failed")));
    await expect(queryInstant("up", 0)).rejects.toMatchObject({ status: 0 });
  });
  it("names the field of an answer in an unexpected form", async () => {
    answer({ status: "success", data: { resultType: "matrix", result: [{ metric: { a: 1 }, values: [] }] } });
    await expect(queryRange("up", { start: 0, end: 1, step: 1 })).rejects.toThrow(/data\.result\.0\.metric\.a/);
  });
});

describe("Prometheus", () => {
  it("reads values that JSON has no numbers for", async () => {
    answer({
      data: {
        resultType: "vector",
        result: [
          { metric: {}, value: [1, "NaN"] },
          { metric: {}, value: [1, "+Inf"] },
        ],
      },
    });
    const { data } = await queryInstant("x", 1000);
    expect(data.map((sample) => sample.value)).toEqual([Number.NaN, Number.POSITIVE_INFINITY]);
  });
  it("takes a scalar as one sample", async () => {
    answer({ data: { resultType: "scalar", result: [1, "5"] } });
    expect((await queryInstant("5", 1000)).data).toEqual([{ labels: {}, time: 1, value: 5 }]);
  });
  it("posts queries that no URL should hold", async () => {
    const mock = answer({ data: { resultType: "matrix", result: [] } });
    await queryRange("x".repeat(5000), { start: 0, end: 1, step: 1 });
    expect(mock.mock.calls[0]?.[1]?.method).toBe("POST");
  });
});

describe("Loki", () => {
  it("keeps nanoseconds exact", () => {
    expect(toNanos(1_700_000_000_123)).toBe("1700000000123000000");
    expect(toNanos("1700000000123456789")).toBe("1700000000123456789");
  });
  it("reads lines with and without categorized labels", async () => {
    answer({
      data: {
        resultType: "streams",
        result: [
          {
            stream: { a: "b" },
            values: [
              ["2", "plain"],
              ["1", "rich", { structuredMetadata: { trace_id: "t" }, parsed: { level: "info" } }],
            ],
          },
        ],
      },
    });
    const [stream] = await queryLogs("{}", { start: 0, end: 1 }, { limit: 1, direction: "backward" });
    expect(stream?.values).toEqual([
      { nanos: "2", line: "plain", metadata: undefined, parsed: undefined },
      { nanos: "1", line: "rich", metadata: { trace_id: "t" }, parsed: { level: "info" } },
    ]);
  });
});

describe("Jaeger", () => {
  it("reads parents, processes, status and events", async () => {
    const mock = answer({
      data: [
        {
          traceID: "t",
          processes: { p1: { serviceName: "cart", tags: [{ key: "host", type: "string", value: "n1" }] } },
          spans: [
            {
              traceID: "t",
              spanID: "b",
              operationName: "GET",
              references: [{ refType: "CHILD_OF", traceID: "t", spanID: "a" }],
              startTime: 5,
              duration: 7,
              tags: [
                { key: "otel.status_code", type: "string", value: "ERROR" },
                { key: "span.kind", type: "string", value: "server" },
              ],
              logs: [{ timestamp: 6, fields: [{ key: "event", type: "string", value: "exception" }] }],
              processID: "p1",
            },
          ],
        },
      ],
    });
    const [trace] = await searchTraces({ service: "cart", limit: 5, from: 1, to: 2, tags: { error: "true" } });
    expect(trace?.spans[0]).toMatchObject({
      parentId: "a",
      service: "cart",
      error: true,
      kind: "server",
      start: 5,
      duration: 7,
    });
    expect(trace?.spans[0]?.events).toHaveLength(1);
    const url = String(mock.mock.calls[0]?.[0]);
    expect(url).toContain("start=1000&end=2000");
    expect(url).toContain(`tags=${encodeURIComponent('{"error":"true"}')}`);
  });
});

it("asks for one autoscaler's records without colliding with stream labels", () => {
  expect(recordsQuery({ namespace: "shop", name: 'a"b' })).toBe(
    '{service_name="yagura-autoscaler"} | json target_namespace="namespace", autoscaler="name" | target_namespace="shop" | autoscaler="a\\"b"',
  );
});

describe("resumeAt", () => {
  const known = { query: "q", from: 0, to: 100_000, wholeAt: 90_000, truncated: false };
  it("asks for the newest part when the range moves on", () => {
    expect(resumeAt(known, "q", { from: 5000, to: 105_000 })).toBe(70_000);
    expect(resumeAt(known, "q", { from: 80_000, to: 105_000 })).toBe(80_000);
  });
  it.each([
    ["nothing is known", undefined, "q", { from: 0, to: 105_000 }],
    ["the query is another", known, "p", { from: 0, to: 105_000 }],
    ["the range reaches further back", known, "q", { from: -1, to: 105_000 }],
    ["the range lies apart", known, "q", { from: 100_001, to: 200_000 }],
    ["the range ends earlier", known, "q", { from: 0, to: 99_000 }],
    ["the last whole answer is old", known, "q", { from: 0, to: 151_000 }],
    ["the last answer was cut", { ...known, truncated: true }, "q", { from: 0, to: 105_000 }],
  ])("asks for everything when %s", (_, before, query, range) =>
    expect(resumeAt(before, query, range)).toBeUndefined(),
  );
});
