import { describe, expect, it } from "vitest";
import { compareNanos, detectLevel, isGap, jsonFields, type LogEntry, mergeLive, toEntries, traceIdOf } from "./logs";

describe("detectLevel", () => {
  it.each([
    ["anything", { severity_text: "Warn" }, "warn"],
    ["anything", { severity_number: "17" }, "error"],
    ['{"level":"error","msg":"x"}', {}, "error"],
    ['time=1 level=debug msg="y"', {}, "debug"],
    ["E0611 12:00:00.000000 1 main.go:1] broken", {}, "error"],
    ["I0611 12:00:00.000000 1 main.go:1] fine", {}, "info"],
    ["2026-01-01 INFO started", {}, "info"],
    ["no level here", {}, "unknown"],
    ["the word error in small letters", {}, "unknown"],
  ])("%j with %j is %s", (line, fields, want) =>
    expect(detectLevel(line, fields as Record<string, string>)).toBe(want),
  );
});

describe("toEntries", () => {
  const value = (nanos: string, line: string, metadata?: Record<string, string>) => ({ nanos, line, metadata });
  it("orders lines of all streams by exact nanoseconds", () => {
    const streams = [
      { stream: { service_name: "a" }, values: [value("1700000000000000002", "second")] },
      {
        stream: { service_name: "b" },
        values: [value("1700000000000000001", "first"), value("1700000000000000003", "third")],
      },
    ];
    expect(toEntries(streams, "forward").map((entry) => entry.line)).toEqual(["first", "second", "third"]);
    expect(toEntries(streams, "backward").map((entry) => entry.line)).toEqual(["third", "second", "first"]);
  });
  it("keeps equal lines at equal times apart", () => {
    const entries = toEntries([{ stream: { a: "b" }, values: [value("1", "x"), value("1", "x")] }], "forward");
    expect(new Set(entries.map((entry) => entry.id)).size).toBe(2);
  });
  it("takes structured metadata out of merged labels", () => {
    const [entry] = toEntries(
      [{ stream: { service_name: "a", trace_id: "t" }, values: [value("1", "x")] }],
      "forward",
      new Set(["service_name"]),
    );
    expect(entry?.stream).toEqual({ service_name: "a" });
    expect(entry?.metadata).toEqual({ trace_id: "t" });
  });
});

describe("mergeLive", () => {
  const entry = (nanos: string): LogEntry => ({
    id: nanos,
    nanos,
    ms: 0,
    line: nanos,
    stream: {},
    metadata: {},
    parsed: {},
    level: "info",
  });
  it("adds what is new, late lines in their place, and forgets the oldest", () => {
    const merged = mergeLive([entry("5"), entry("3")], [entry("6"), entry("5"), entry("4")], 3);
    expect(merged.map(({ nanos }) => nanos)).toEqual(["6", "5", "4"]);
  });
  it("knows when lines were passed over", () => {
    expect(isGap([entry("5")], [entry("9"), entry("6")])).toBe(true);
    expect(isGap([entry("5")], [entry("9"), entry("5")])).toBe(false);
    expect(isGap([], [entry("9")])).toBe(false);
  });
  it("keeps the list itself when nothing is new", () => {
    const current = [entry("5")];
    expect(mergeLive(current, [entry("5")], 10)).toBe(current);
  });
});

it("compares nanoseconds of any length", () => {
  expect(compareNanos("9", "10")).toBeLessThan(0);
  expect(compareNanos("20", "10")).toBeGreaterThan(0);
  expect(compareNanos("10", "10")).toBe(0);
});

it("finds the trace wherever its id stands, and no zero id", () => {
  const base = { id: "", nanos: "1", ms: 0, line: "", stream: {}, parsed: {}, level: "info" as const };
  const id = "0af7651916cd43dd8448eb211c80319c";
  expect(traceIdOf({ ...base, metadata: { trace_id: id.toUpperCase() } })).toBe(id);
  expect(traceIdOf({ ...base, metadata: {}, parsed: { traceID: id } })).toBe(id);
  expect(traceIdOf({ ...base, metadata: { trace_id: "0".repeat(32) } })).toBeUndefined();
  expect(traceIdOf({ ...base, metadata: { trace_id: "'><script>" } })).toBeUndefined();
});

it("reads JSON objects only", () => {
  expect(jsonFields(' {"a":1} ')).toEqual({ a: 1 });
  expect(jsonFields("[1]")).toBeUndefined();
  expect(jsonFields("{broken}")).toBeUndefined();
});
