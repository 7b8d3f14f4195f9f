import { describe, expect, it } from "vitest";
import { assembleTimeline, groupMarkers, headline, markersOf, summarizeAutoscalers } from "./autoscaling";
import { type DecisionRecord, parseRecord } from "./decision";
import { REPLICA_LINE, SIZE_LINE } from "./decision.samples";
import { NODES_LINE } from "./fleet.samples";

function record(ms: number, change: Partial<DecisionRecord> = {}, line = REPLICA_LINE): DecisionRecord {
  const parsed = parseRecord(line, 0, `id ${ms}`);
  if (!parsed) throw new Error("the sample record does not parse");
  return { ...parsed, ms, ...change };
}

describe("summarizeAutoscalers", () => {
  it("joins the newest record with the newest samples", () => {
    const [first, second] = summarizeAutoscalers(
      [record(1000, { reason: "old" }), record(2000, { reason: "new", currentReplicas: 4 })],
      [
        {
          labels: { __name__: "yagura_autoscaler_replicas_current", target_namespace: "shop", autoscaler: "checkout" },
          value: 5,
        },
        {
          labels: { __name__: "yagura_autoscaler_replicas_max", target_namespace: "shop", autoscaler: "silent" },
          value: 9,
        },
        { labels: { __name__: "yagura_autoscaler_replicas_max" }, value: 9 },
      ],
    );
    expect(first).toMatchObject({
      key: "shop/checkout",
      current: 5,
      target: "Deployment/checkout",
      horizontal: { reason: "new" },
    });
    expect(first?.vertical).toBeUndefined();
    expect(second).toMatchObject({ key: "shop/silent", max: 9, current: null });
    expect(second?.horizontal).toBeUndefined();
  });
  it("leaves decisions about nodes to their own page", () => {
    expect(summarizeAutoscalers([record(1000, {}, NODES_LINE)], [])).toEqual([]);
  });
  it("keeps the newest of each direction, and takes bounds from the one about replicas", () => {
    const [both] = summarizeAutoscalers([record(1000), record(2000, {}, SIZE_LINE), record(1500, {}, SIZE_LINE)], []);
    expect(both).toMatchObject({ horizontal: { ms: 1000 }, vertical: { ms: 2000 }, min: 2, max: 40, desired: 5 });
    const [sizes] = summarizeAutoscalers([record(2000, {}, SIZE_LINE)], []);
    expect(sizes).toMatchObject({ current: 3, desired: null, min: null, target: "Deployment/checkout" });
  });
  it("puts the weightiest decision first, and of equals the newest", () => {
    const of = (horizontal: Partial<DecisionRecord>, vertical: Partial<DecisionRecord>) => {
      const [summary] = summarizeAutoscalers([record(1000, horizontal), record(2000, vertical, SIZE_LINE)], []);
      return summary && headline(summary)?.direction;
    };
    expect(of({ outcome: "ScaledOut" }, { outcome: "Unchanged", code: "" })).toBe("horizontal");
    expect(of({ outcome: "Held" }, { outcome: "Held", code: "" })).toBe("vertical");
    expect(of({ outcome: "Unchanged" }, { outcome: "RolledBack", code: "" })).toBe("vertical");
  });
});

describe("assembleTimeline", () => {
  const grid = { start: 100, end: 130, step: 10 };
  const labels = { target_namespace: "shop", autoscaler: "checkout" };
  it("puts series on the grid and lets silence show", () => {
    const timeline = assembleTimeline(
      [],
      [
        {
          labels: { ...labels, __name__: "yagura_autoscaler_replicas_current" },
          samples: [
            [100, 3],
            [110, 4],
          ],
        },
        {
          labels: { ...labels, __name__: "yagura_autoscaler_objective_value", objective: "cpu" },
          samples: [[105, 80]],
        },
      ],
      grid,
      15,
    );
    expect(timeline.times).toEqual([100, 110, 120, 130]);
    expect(timeline.current).toEqual([3, 4, 4, null]);
    expect(timeline.objectives).toMatchObject([
      { name: "cpu", value: [null, 80, 80, null], target: [null, null, null, null] },
    ]);
  });
  it("fills from records what no series tells", () => {
    const timeline = assembleTimeline([record(110_000), record(120_000, { currentReplicas: 5 })], [], grid);
    expect(timeline.current).toEqual([null, 3, 5, 5]);
    expect(timeline.max).toEqual([null, 40, 40, 40]);
    expect(timeline.objectives).toMatchObject([
      { name: "cpu", unit: "percent", value: [null, 83.2, 83.2, 83.2], target: [null, 70, 70, 70] },
    ]);
  });
  it("prefers series over records", () => {
    const timeline = assembleTimeline(
      [record(100_000)],
      [{ labels: { ...labels, __name__: "yagura_autoscaler_replicas_current" }, samples: [[100, 7]] }],
      grid,
    );
    expect(timeline.current[0]).toBe(7);
    expect(timeline.desired[0]).toBe(5);
  });
});

describe("markers", () => {
  it("marks every act, and where a state begins, not its repeats", () => {
    const records = [
      record(1, { outcome: "Unchanged" }),
      record(2, { outcome: "Held" }),
      record(3, { outcome: "Held" }),
      record(4, { outcome: "ScaledOut" }),
      record(5, { outcome: "ScaledOut" }),
      record(6, { outcome: "Unchanged" }),
      record(7, { outcome: "Unchanged" }),
    ];
    expect(markersOf(records).map((marker) => marker.ms)).toEqual([1, 2, 4, 5, 6]);
  });
  it("groups what would overlap under the weightiest", () => {
    const markers = markersOf([
      record(0, { outcome: "Held" }),
      record(5, { outcome: "ScaledIn" }),
      record(9, { outcome: "Unchanged" }),
      record(30, { outcome: "Held" }),
    ]);
    const groups = groupMarkers(markers, (marker) => marker.ms, 10);
    expect(groups.map((group) => [group.at, group.lead.occasion, group.markers.length])).toEqual([
      [0, "ScaledIn", 3],
      [30, "Held", 1],
    ]);
  });
});
