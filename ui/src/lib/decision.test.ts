import { describe, expect, it } from "vitest";
import { occasionOf, parseRecord, verdictStep } from "./decision";
import { REPLICA_LINE, SIZE_LINE } from "./decision.samples";
import { NODES_LINE } from "./fleet.samples";

describe("parseRecord", () => {
  it("reads a whole record", () => {
    const parsed = parseRecord(REPLICA_LINE, 1, "id", "trace");
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
  it("reads a record about sizes", () => {
    const parsed = parseRecord(SIZE_LINE, 1, "id");
    expect(parsed).toMatchObject({ direction: "vertical", outcome: "Resized", code: "OOM", objectives: [] });
    expect(parsed?.sizes[0]).toMatchObject({ container: "app", role: "", limit: null, desiredLimit: null });
    expect(parsed?.sizes[1]?.verdicts[1]).toMatchObject({ rule: "estimate", to: 671_088_640 });
    expect(parsed?.pods[1]).toMatchObject({ result: "Blocked", code: "PodDisruptionBudget" });
  });
  it("reads a record about nodes", () => {
    const parsed = parseRecord(NODES_LINE, 1, "id");
    expect(parsed).toMatchObject({
      direction: "nodes",
      outcome: "Provisioned",
      nodeCost: { before: 0.3 },
      withoutNodeCount: 1,
    });
    expect(parsed?.nodeActions[0]).toMatchObject({ action: "Create", node: "", claim: "general-4", podCount: 4 });
    expect(parsed?.nodeActions[2]).toMatchObject({ pods: [], podCount: 0, pricePerHour: null });
    expect(parseRecord(REPLICA_LINE, 1, "id")).toMatchObject({ nodeActions: [], nodeCost: null, withoutNode: [] });
  });
  it("takes records from before there were sizes as about replicas", () => {
    expect(parseRecord(REPLICA_LINE, 1, "id")).toMatchObject({
      direction: "horizontal",
      sizes: [],
      pods: [],
      code: "",
    });
  });
  it("knows the default role by both of its names", () => {
    const line = JSON.stringify({
      ...JSON.parse(SIZE_LINE),
      sizes: [{ container: "app", role: "default", resource: "cpu", usage: null }],
    });
    expect(parseRecord(line, 1, "id")?.sizes[0]).toMatchObject({
      role: "",
      usage: null,
      confidence: null,
      verdicts: [],
    });
  });
});

describe("occasionOf", () => {
  const size = (change: object) => parseRecord(JSON.stringify({ ...JSON.parse(SIZE_LINE), ...change }), 1, "id");
  it.each([
    [{}, "KillAnswered"],
    [{ code: "Resize" }, "Resized"],
    [{ outcome: "Recreated", code: "Recreate" }, "Recreated"],
    [{ outcome: "RolledBack", code: "RolledBack" }, "RolledBack"],
    [{ outcome: "Held", code: "OOM" }, "Held"],
    [{ direction: "" }, "Resized"],
  ])("takes %j as %s", (change, want) => {
    const record = size(change);
    expect(record && occasionOf(record)).toBe(want);
  });
  it("finds a kill in what the rules said about one size", () => {
    const verdicts = [{ rule: "freshness", action: "Pass", code: "OOM", from: 1, to: 1, reason: "" }];
    const record = size({
      code: "Recreate",
      outcome: "Recreated",
      sizes: [{ container: "a", resource: "memory", verdicts }],
    });
    expect(record && occasionOf(record)).toBe("KillAnswered");
  });
});

it.each([
  [5, 4, "5 → 4"],
  [5, 5, "5"],
  [null, null, "–"],
  [null, 3, "3"],
  [3, null, "3"],
])("writes a verdict's step from %s to %s as %s", (from, to, want) => {
  expect(verdictStep({ rule: "r", action: "Pass", code: "", from, to, reason: "" })).toBe(want);
});

it("writes a verdict's step in a unit", () => {
  const verdict = { rule: "r", action: "Change", code: "", from: 1, to: 2, reason: "" };
  expect(verdictStep(verdict, (value) => `${value} cores`)).toBe("1 cores → 2 cores");
});
