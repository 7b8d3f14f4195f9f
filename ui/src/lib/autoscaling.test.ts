import { describe, expect, it } from "vitest";
import {
  assembleTimeline,
  type DecisionRecord,
  groupMarkers,
  markersOf,
  parseRecord,
  summarizeAutoscalers,
  verdictStep,
} from "./autoscaling";

const LINE = JSON.stringify({
  namespace: "shop",
  name: "checkout",
  target: { apiVersion: "apps/v1", kind: "Deployment", name: "checkout" },
  mode: "Apply",
  time: "2026-11-23T14:00:00.5Z",
  outcome: "ScaledOut",
  reason: "Scaled out from 3 to 5: cpu is 83.2 against a target of 70.",
  currentReplicas: 3,
  readyReplicas: 3,
  recommendedReplicas: 5,
  desiredReplicas: 5,
  minReplicas: 2,
  maxReplicas: 40,
  objectives: [
    {
      name: "cpu",
      kind: "Resource",
      query: "",
      value: 83.2,
      target: 70,
      unit: "percent",
      per: "Replica",
      replicas: 5,
      state: "Fresh",
      ageSeconds: 0.8,
      reason: "",
    },
  ],
  verdicts: [{ rule: "tolerance", action: "Pass", from: 5, to: 5, reason: "outside the tolerance" }],
  equalTicks: 12,
});

function record(ms: number, change: Partial<DecisionRecord> = {}): DecisionRecord {
  const parsed = parseRecord(LINE, 0, `id ${ms}`);
  if (!parsed) throw new Error("the sample record does not parse");
  return { ...parsed, ms, ...change };
}

describe("parseRecord", () => {
  it("reads a whole record", () => {
    const parsed = parseRecord(LINE, 1, "id", "trace");
    expect(parsed).toMatchObject({
      namespace: "shop",
      outcome: "ScaledOut",
      desiredReplicas: 5,
      id: "id",
      traceId: "trace",
    });
    expect(parsed?.ms).toBe(Date.parse("2026-11-23T14:00:00.5Z"));
    expect(parsed?.objectives[0]).toMatchObject({ name: "cpu", value: 83.2, state: "Fresh" });
  });
  it("takes what is missing or null as unknown", () => {
    const parsed = parseRecord(
      '{"namespace":"a","name":"b","outcome":"Held","objectives":[{"name":"q","value":null}],"verdicts":null}',
      42,
      "id",
    );
    expect(parsed).toMatchObject({ ms: 42, currentReplicas: null, verdicts: [], reason: "" });
    expect(parsed?.objectives[0]?.value).toBeNull();
  });
  it("keeps outcomes it does not know", () => {
    expect(parseRecord('{"namespace":"a","name":"b","outcome":"Exploded"}', 0, "id")?.outcome).toBe("Unknown");
  });
  it.each([
    "starting",
    '"text"',
    "{}",
    '{"msg":"started","namespace":"a"}',
    '{"namespace":"a","name":"b","outcome":5}',
  ])("leaves other lines alone: %s", (line) => expect(parseRecord(line, 0, "id")).toBeUndefined());
});

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
      latest: { reason: "new" },
    });
    expect(second).toMatchObject({ key: "shop/silent", max: 9, current: null });
    expect(second?.latest).toBeUndefined();
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
    expect(groups.map((group) => [group.at, group.lead.outcome, group.markers.length])).toEqual([
      [0, "ScaledIn", 3],
      [30, "Held", 1],
    ]);
  });
});

it.each([
  [5, 4, "5 → 4"],
  [5, 5, "5"],
  [null, null, "–"],
  [null, 3, "3"],
  [3, null, "3"],
])("writes a verdict's step from %s to %s as %s", (from, to, want) => {
  expect(verdictStep({ rule: "r", action: "Pass", from, to, reason: "" })).toBe(want);
});
