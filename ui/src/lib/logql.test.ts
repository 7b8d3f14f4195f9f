import { describe, expect, it } from "vitest";
import {
  histogramQuery,
  isMetricQuery,
  parseSelector,
  streamSelector,
  traceLogsQuery,
  withFieldFilter,
  withMatcher,
  withoutMatcher,
} from "./logql";
import { logqlContext } from "./logqlContext";

describe("selectors", () => {
  it("never selects nothing at all, which LogQL refuses", () => {
    expect(streamSelector([])).toBe('{service_name=~".+"}');
  });
  it("reads matchers of every kind, and quotes within", () => {
    const parsed = parseSelector('{a="x", b!~`y}`, c=~"q\\"}z"} |= "}" | json');
    expect(parsed?.filters).toEqual([
      { label: "a", op: "=", value: "x" },
      { label: "b", op: "!~", value: "y}" },
      { label: "c", op: "=~", value: 'q"}z' },
    ]);
    expect(parsed?.rest).toBe(' |= "}" | json');
  });
  it("leaves other queries alone", () => {
    expect(parseSelector("sum(rate({a=`b`}[1m]))")).toBeUndefined();
    expect(withMatcher("sum(x)", { label: "a", op: "=", value: "b" })).toBe("sum(x)");
  });
  it("replaces a matcher of the same label and keeps the pipeline", () => {
    expect(withMatcher('{pod="a", ns="x"} |= "y"', { label: "pod", op: "=", value: "b" })).toBe(
      '{ns="x", pod="b"} |= "y"',
    );
  });
  it("excludes beside other exclusions", () => {
    expect(withMatcher('{ns="x", pod!="a"}', { label: "pod", op: "!=", value: "b" })).toBe(
      '{ns="x", pod!="a", pod!="b"}',
    );
  });
  it("drops the stand-in for everything", () => {
    expect(withMatcher('{service_name=~".+"}', { label: "pod", op: "=", value: "b" })).toBe('{pod="b"}');
    expect(withoutMatcher('{pod="b"} | json', { label: "pod", op: "=", value: "b" })).toBe(
      '{service_name=~".+"} | json',
    );
  });
  it("filters fields at the end of the pipeline", () => {
    expect(withFieldFilter('{a="b"} ', "level", "!=", 'in"fo')).toBe('{a="b"} | level!="in\\"fo"');
  });
});

describe("isMetricQuery", () => {
  it.each([
    ['{a="b"}', false],
    ['{a="b"} |= "sum(rate("', false],
    ["sum by (x) (rate({a=`b`}[1m]))", true],
    ["count_over_time({a=`b`}[1m])", true],
    ["# sum\n{a=`b`}", false],
    ["  ({a=`b`})", false],
    ["1", true],
    ["", false],
  ])("%j: %s", (expr, want) => expect(isMetricQuery(expr)).toBe(want));
});

it("builds the questions of the pages", () => {
  expect(histogramQuery('{a="b"} |= "x" ', 15)).toBe('sum by (severity_text) (count_over_time({a="b"} |= "x" [15s]))');
  expect(traceLogsQuery("ab`cd")).toBe('{service_name=~".+"} | trace_id=`abcd`');
});

describe("logqlContext", () => {
  it.each([
    ["", { kind: "function" }],
    ["su", { kind: "function" }],
    ["sum(ra", { kind: "function" }],
    ["{", { kind: "label" }],
    ['{a="b", na', { kind: "label" }],
    ['{a="', { kind: "value", label: "a", typed: "" }],
    ['{a="b", ns=~"ku', { kind: "value", label: "ns", typed: "ku" }],
    ['{a="b"} | js', { kind: "pipeline" }],
    ['{a="b"} |= "x', { kind: "none" }],
    ['{a="b}"} | ', { kind: "pipeline" }],
    ['{a="b"', { kind: "none" }],
  ])("after %j", (before, want) => expect(logqlContext(before)).toEqual(want));
});
