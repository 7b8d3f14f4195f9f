import { describe, expect, it } from "vitest";
import {
  buildTrace,
  criticalPath,
  parseTags,
  percentile,
  placeSpan,
  type Span,
  selfTime,
  serviceHealth,
  summarizeTrace,
  visibleRows,
} from "./trace";

function span(
  id: string,
  parentId: string | undefined,
  start: number,
  duration: number,
  change: Partial<Span> = {},
): Span {
  return {
    traceId: "t",
    spanId: id,
    parentId,
    name: `op ${id}`,
    service: "svc",
    start,
    duration,
    tags: [],
    events: [],
    process: [],
    warnings: [],
    error: false,
    ...change,
  };
}

const names = (nodes: { span: Span }[]) => nodes.map((node) => node.span.spanId);

describe("buildTrace", () => {
  it("orders depth first, siblings by start", () => {
    const model = buildTrace({
      id: "t",
      spans: [span("c", "a", 20, 5), span("b", "a", 10, 30), span("d", "b", 12, 3), span("a", undefined, 0, 50)],
    });
    expect(names(model.order)).toEqual(["a", "b", "d", "c"]);
    expect(model.order.map((node) => node.depth)).toEqual([0, 1, 2, 1]);
    expect(model.order.map((node) => node.descendants)).toEqual([3, 1, 0, 0]);
    expect([model.start, model.end, model.depth]).toEqual([0, 50, 3]);
  });
  it("keeps spans whose parent was not received", () => {
    const model = buildTrace({ id: "t", spans: [span("b", "gone", 5, 5), span("a", undefined, 0, 10)] });
    expect(names(model.roots)).toEqual(["a", "b"]);
    expect(model.byId.get("b")?.orphan).toBe(true);
  });
  it("cuts cycles and drops repeats", () => {
    const model = buildTrace({
      id: "t",
      spans: [span("a", "b", 0, 10), span("b", "a", 1, 5), span("a", "b", 0, 10), span("s", "s", 2, 1)],
    });
    expect(names(model.order).sort()).toEqual(["a", "b", "s"]);
  });
  it("counts services and errors", () => {
    const model = buildTrace({
      id: "t",
      spans: [
        span("a", undefined, 0, 9),
        span("b", "a", 1, 1, { service: "db", error: true }),
        span("c", "a", 2, 1, { service: "db" }),
      ],
    });
    expect(model.services).toEqual([
      { name: "db", spans: 2, errors: 1 },
      { name: "svc", spans: 1, errors: 0 },
    ]);
    expect(model.errors).toBe(1);
  });
  it("lays out ten thousand spans, however deep", () => {
    const spans = Array.from({ length: 10_000 }, (_, index) =>
      span(String(index), index === 0 ? undefined : String(index - 1), index, 10_000 - index),
    );
    const model = buildTrace({ id: "t", spans });
    expect(model.depth).toBe(10_000);
    expect(model.order[0]?.descendants).toBe(9999);
    expect(visibleRows(model, new Set(["4"]))).toHaveLength(5);
    const root = model.roots[0];
    expect(root && criticalPath(root).size).toBeGreaterThan(0);
  });
  it("takes a trace without spans", () => expect(buildTrace({ id: "t", spans: [] }).order).toEqual([]));
});

it("hides the whole subtree of a folded span", () => {
  const model = buildTrace({
    id: "t",
    spans: [span("a", undefined, 0, 9), span("b", "a", 1, 1), span("c", "b", 1, 1), span("d", "a", 3, 1)],
  });
  expect(names(visibleRows(model, new Set(["b"])))).toEqual(["a", "b", "d"]);
  expect(names(visibleRows(model, new Set(["a"])))).toEqual(["a"]);
});

it("places spans within the window, always visible", () => {
  expect(placeSpan({ start: 25, duration: 50 }, 0, 100)).toEqual({ left: 25, width: 50 });
  expect(placeSpan({ start: 0, duration: 0 }, 0, 100).width).toBeGreaterThan(0);
  expect(placeSpan({ start: 100, duration: 0 }, 0, 100).left).toBeLessThan(100);
  expect(placeSpan({ start: 0, duration: 0 }, 0, 0).left).toBe(0);
});

it("finds the path that the end waited for", () => {
  // b and c run beside each other and c ends last; d follows c.
  const model = buildTrace({
    id: "t",
    spans: [span("a", undefined, 0, 100), span("b", "a", 5, 20), span("c", "a", 5, 45), span("d", "a", 60, 35)],
  });
  const root = model.roots[0];
  expect(root && [...criticalPath(root)].sort()).toEqual(["a", "c", "d"]);
});

it("counts overlapping children once", () => {
  const model = buildTrace({
    id: "t",
    spans: [span("a", undefined, 0, 100), span("b", "a", 10, 40), span("c", "a", 30, 40), span("d", "a", 90, 50)],
  });
  const root = model.roots[0];
  expect(root && selfTime(root)).toBe(30);
});

it("summarizes by the true root", () => {
  const summary = summarizeTrace({
    id: "t",
    spans: [span("x", "gone", 0, 5, { name: "early" }), span("a", undefined, 1, 10, { name: "root" })],
  });
  expect(summary.rootName).toBe("root");
  expect(summary.duration).toBe(11);
});

describe("serviceHealth", () => {
  const second = 1_000_000;
  it("counts entries into the service, not its inner spans", () => {
    const trace = {
      id: "t",
      spans: [
        span("a", undefined, 0, 100, { service: "web" }),
        span("b", "a", 1, 50, { error: true }),
        span("c", "b", 2, 10),
      ],
    };
    const health = serviceHealth("svc", [trace], { from: 0, to: 10 * second }, 50);
    expect(health).toMatchObject({ requests: 1, errors: 1, rate: 0.1, p50: 50, sampled: false });
  });
  it("takes the rate over what a full sample covers", () => {
    const traces = [8, 9].map((at) => ({ id: String(at), spans: [span("a", undefined, at * second, 1)] }));
    expect(serviceHealth("svc", traces, { from: 0, to: 10 * second }, 2)).toMatchObject({ rate: 1, sampled: true });
  });
});

it("interpolates percentiles", () => {
  expect(percentile([1, 2, 3, 4], 0.5)).toBe(2.5);
  expect(percentile([], 0.5)).toBeNaN();
});

describe("parseTags", () => {
  it("reads pairs, with quotes where there are spaces", () => {
    expect(parseTags(' http.status_code=500  db.query="a \\"b\\" c" error=true')).toEqual({
      tags: { "http.status_code": "500", "db.query": 'a "b" c', error: "true" },
    });
  });
  it("names what it cannot read", () => expect(parseTags("error=true oops").error).toContain("oops"));
  it("takes nothing as nothing", () => expect(parseTags("  ")).toEqual({ tags: {} }));
});
