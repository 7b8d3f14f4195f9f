import { describe, expect, it } from "vitest";
import {
  type BuilderState,
  buildPromQL,
  combineQueries,
  decodeFilters,
  encodeFilters,
  type LabelFilter,
  metricKind,
  parseFilter,
  quote,
  rateWindow,
  selector,
  unitOfQuery,
} from "./promql";

const state = (change: Partial<BuilderState>): BuilderState => ({
  metric: "up",
  filters: [],
  aggregation: "none",
  by: [],
  ...change,
});

describe("selectors", () => {
  it("quotes what needs quoting", () => {
    expect(quote('a "b" \\ c\nd')).toBe('"a \\"b\\" \\\\ c\\nd"');
    expect(selector("up", [{ label: "path", op: "=~", value: "/a\\d+" }])).toBe('up{path=~"/a\\\\d+"}');
  });
  it("puts names outside the classic alphabet between the braces", () => {
    expect(selector("http.server.duration", [{ label: "http.route", op: "=", value: "/" }])).toBe(
      '{"http.server.duration", "http.route"="/"}',
    );
  });
  it("reads filters as typed", () => {
    expect(parseFilter("pod=web-1")).toEqual({ label: "pod", op: "=", value: "web-1" });
    expect(parseFilter('pod !~ "web.*"')).toEqual({ label: "pod", op: "!~", value: "web.*" });
    expect(parseFilter("pod")).toBeUndefined();
  });
  it("carries filters through the URL, and nonsense as nothing", () => {
    const filters: LabelFilter[] = [{ label: "a", op: "!~", value: 'x"&=,|y' }];
    expect(decodeFilters(encodeFilters(filters))).toEqual(filters);
    expect(decodeFilters("{")).toEqual([]);
    expect(decodeFilters('[["a","~","b"],["a","=",1],"x"]')).toEqual([]);
    expect(encodeFilters([])).toBeUndefined();
  });
});

describe("metricKind", () => {
  it.each([
    ["http_requests_total", undefined, "counter"],
    ["http_requests_total", "gauge", "counter"],
    ["go_goroutines", "gauge", "gauge"],
    ["rpc_duration_seconds_bucket", "histogram", "histogram"],
    ["rpc_duration_seconds_sum", "histogram", "counter"],
    ["rpc_duration_seconds", "summary", "summary"],
    ["rpc_duration_seconds_bucket", undefined, "histogram"],
    ["something", undefined, "unknown"],
    ["something", "unknown", "unknown"],
  ])("%s (%s) is a %s", (name, type, want) => expect(metricKind(name, type)).toBe(want));
});

describe("buildPromQL", () => {
  it("leaves gauges alone", () => {
    expect(buildPromQL(state({ metric: "go_goroutines" }), "gauge", 60)).toBe("go_goroutines");
  });
  it("applies rate to counters by itself", () => {
    expect(buildPromQL(state({ metric: "http_requests_total" }), "counter", 60)).toBe("rate(http_requests_total[1m])");
  });
  it("sums by label", () => {
    expect(
      buildPromQL(state({ metric: "http_requests_total", aggregation: "sum", by: ["pod", "code"] }), "counter", 75),
    ).toBe("sum by (pod, code) (rate(http_requests_total[75s]))");
  });
  it("turns buckets into a quantile and keeps le", () => {
    expect(
      buildPromQL(state({ metric: "d_seconds_bucket", by: ["service_name"], quantile: 0.99 }), "histogram", 60),
    ).toBe("histogram_quantile(0.99, sum by (le, service_name) (rate(d_seconds_bucket[1m])))");
  });
  it("asks for nothing without a metric", () => expect(buildPromQL(state({ metric: "" }), "gauge", 60)).toBe(""));
});

describe("rateWindow", () => {
  it("holds at least four scrapes", () => expect(rateWindow(15, 5)).toBe(60));
  it("is never shorter than the step", () => expect(rateWindow(1, 300)).toBe(301));
});

describe("combineQueries", () => {
  it("marks each part", () => {
    expect(combineQueries({ a: "up", "b.0": "sum(x)" })).toBe(
      'label_replace(up, "part", "a", "", "")\nor\nlabel_replace(sum(x), "part", "b.0", "", "")',
    );
  });
});

describe("unitOfQuery", () => {
  it.each([
    ["rate(node_network_receive_bytes_total[1m])", "bytesPerSecond"],
    ["sum by (pod) (rate(container_cpu_usage_seconds_total[1m]))", "cores"],
    ["node_memory_MemFree_bytes", "bytes"],
    ["histogram_quantile(0.95, sum by (le) (rate(http_duration_seconds_bucket[5m])))", "seconds"],
    ["sum(rate(a_bytes_total[1m])) / sum(rate(b_bytes_total[1m]))", "number"],
    ["count(node_memory_MemFree_bytes)", "number"],
    ["up", "number"],
  ])("%s is in %s", (expr, want) => expect(unitOfQuery(expr)).toBe(want));
});
