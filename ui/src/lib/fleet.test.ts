import { describe, expect, it } from "vitest";
import { recordSchema } from "./decision";
import {
  actionsOn,
  byZone,
  choices,
  countedBy,
  describeActions,
  type FleetNode,
  filterNodes,
  fleetQueries,
  fleetSchema,
  formatMoney,
  fullness,
  groupPending,
  NONE,
  nextSort,
  parseSort,
  sortNodes,
  standingOf,
  summarizeFleet,
} from "./fleet";
import { ANSWER, NODE, NODES_LINE } from "./fleet.samples";

const node = (name: string, change: Partial<FleetNode> = {}): FleetNode => ({ ...NODE, name, ...change });
const names = (nodes: FleetNode[]) => nodes.map((entry) => entry.name);

describe("fleetSchema", () => {
  const fleet = fleetSchema.parse(ANSWER);
  it("takes what is missing or null as nothing", () => {
    expect(fleet.moves).toEqual([]);
    expect(fleet.pending).toEqual([]);
    expect(fleet.nodes[0]?.stay.verdicts).toEqual([]);
    expect(fleet.nodes[1]).toMatchObject({ policy: "", zone: "", pods: 0, why: "" });
    expect(fleet.policies[0]).toMatchObject({
      unhealthy: 0,
      outcome: "",
      upgrade: { paused: "", estimatedCompletion: null },
    });
  });
  it("does not take Go's zero time for an instant", () => {
    expect(fleet.nodes.map((entry) => entry.created)).toEqual([Date.parse("2026-11-23T13:00:00Z"), null]);
  });
  it("sums up, leaving aside what is not known", () => {
    expect(summarizeFleet(fleet)).toEqual({
      nodes: 2,
      standings: { ready: 1, making: 1, leaving: 0, unready: 0 },
      cpu: 0.5,
      memory: 0.25,
      above: expect.closeTo(0.2),
    });
    expect(summarizeFleet({ ...fleet, nodes: [], lowerBound: 0 })).toMatchObject({
      cpu: null,
      memory: null,
      above: null,
    });
  });
});

it.each([
  ["Pending", false, "making"],
  ["Launched", false, "making"],
  ["Registered", true, "making"],
  ["Ready", true, "ready"],
  ["Ready", false, "unready"],
  ["NotReady", false, "unready"],
  ["Draining", true, "leaving"],
  ["Terminating", false, "leaving"],
  ["SomethingNew", true, "ready"],
] as const)("takes a node in phase %s, ready %s, as %s", (phase, ready, want) => {
  expect(standingOf({ phase, ready })).toBe(want);
});

describe("filterNodes", () => {
  const nodes = [
    node("a", { zone: "eu-a" }),
    node("b", { zone: "", policy: "", capacityType: "on-demand" }),
    node("c", { phase: "Draining", stay: { code: "Empty", message: "no pod runs on it", verdicts: [] } }),
  ];
  it.each([
    [{}, ["a", "b", "c"]],
    [{ zone: "eu-a" }, ["a", "c"]],
    [{ zone: NONE, policy: NONE }, ["b"]],
    [{ capacity: "spot", phase: "Ready" }, ["a"]],
    [{ find: "EMPTY pod" }, ["c"]],
    [{ find: "m5 eu-a checkout" }, ["a", "c"]],
    [{ find: "nothing" }, []],
  ])("by %j leaves %j", (filter, want) => expect(names(filterNodes(nodes, filter))).toEqual(want));
  it("offers what there is to choose from, what has none last", () => {
    expect(choices(nodes, (entry) => entry.zone)).toEqual(["eu-a", NONE]);
  });
});

describe("sortNodes", () => {
  const nodes = [
    node("n-10", { pricePerHour: 0.1, created: 3000, phase: "Ready" }),
    node("n-9", { pricePerHour: 0.3, created: null, phase: "Pending", allocatable: { cpu: 0, memory: 0 } }),
    node("n-1", { pricePerHour: 0.1, created: 1000, phase: "Draining", requested: { cpu: 0.1, memory: 0 } }),
  ];
  it.each([
    ["name", ["n-1", "n-9", "n-10"]],
    ["-name", ["n-10", "n-9", "n-1"]],
    ["-price", ["n-9", "n-1", "n-10"]],
    ["-age", ["n-1", "n-10", "n-9"]],
    ["age", ["n-10", "n-1", "n-9"]],
    ["cpu", ["n-1", "n-10", "n-9"]],
    ["-cpu", ["n-10", "n-1", "n-9"]],
    ["phase", ["n-9", "n-10", "n-1"]],
    ["no such column", ["n-1", "n-9", "n-10"]],
  ])("by %s", (sort, want) => expect(names(sortNodes(nodes, parseSort(sort)))).toEqual(want));
  it("turns round on the second click, and starts with the largest quantity", () => {
    expect(nextSort(parseSort("name"), "price")).toBe("-price");
    expect(nextSort(parseSort("-price"), "price")).toBe("price");
    expect(nextSort(parseSort("-price"), "zone")).toBe("zone");
  });
});

it("puts zones in order, and equals beside each other", () => {
  const groups = byZone([
    node("z", { zone: "" }),
    node("b-2", { zone: "eu-b", pricePerHour: 1 }),
    node("b-1", { zone: "eu-b", pricePerHour: 2, policy: "zebra" }),
    node("a", { zone: "eu-a" }),
  ]);
  expect(groups.map((group) => [group.zone, names(group.nodes)])).toEqual([
    ["eu-a", ["a"]],
    ["eu-b", ["b-2", "b-1"]],
    ["", ["z"]],
  ]);
  expect(groups[1]?.cost).toBe(3);
});

it("knows how full a node is, beyond its brim too, and when that is not known", () => {
  expect(fullness(NODE, "cpu")).toBe(0.75);
  expect(fullness(node("n", { requested: { cpu: 3, memory: 0 } }), "cpu")).toBe(1.5);
  expect(fullness(node("n", { allocatable: { cpu: 0, memory: 0 } }), "memory")).toBeNull();
});

it("gathers pods that wait for the same reasons, those without hope first", () => {
  const pod = (name: string, to: string, ...reasons: string[]) => ({ namespace: "shop", name, node: to, reasons });
  const groups = groupPending([
    pod("a", "n-1"),
    pod("b", "", "no offer has 96 cores"),
    pod("c", "n-2"),
    pod("d", "", "no offer has 96 cores"),
    pod("e", ""),
  ]);
  expect(groups.map((group) => [group.placed, group.reasons, group.pods.map((entry) => entry.name)])).toEqual([
    [false, ["no offer has 96 cores"], ["b", "d"]],
    [false, [], ["e"]],
    [true, [], ["a", "c"]],
  ]);
});

it.each([
  [null, "–"],
  [0, "0.00"],
  [0.0024, "0.0024"],
  [0.096, "0.096"],
  [0.4567, "0.457"],
  [12.3456, "12.35"],
  [-0.5, "-0.5"],
  [123_456.7, "123,457"],
])("writes %s per hour as %s", (value, want) => expect(formatMoney(value)).toBe(want));

describe("what records say of nodes", () => {
  const record = { ...recordSchema.parse(JSON.parse(NODES_LINE)), ms: 0, id: "id" };
  it("is counted by what was done", () => {
    expect(describeActions(record.nodeActions)).toBe("2 new, 1 to leave");
    expect(describeActions([])).toBe("");
  });
  it("is found by a node's name, and by its claim's", () => {
    expect(actionsOn(record, "general-2", "").map(({ action }) => action)).toEqual(["Cordon"]);
    expect(actionsOn(record, "node-x", "claim-2").map(({ action }) => action)).toEqual(["Cordon"]);
    expect(actionsOn(record, "general-4", "general-4")).toHaveLength(1);
    expect(actionsOn(record, "general-9", "")).toEqual([]);
  });
});

it("counts a fleet once, though two replicas report it, and forgets groups that have emptied", () => {
  expect(fleetQueries("target_zone", 30).nodes).toBe(
    "sum by (target_zone) (max by (policy, target_zone, capacity_type, phase) (last_over_time(yagura_autoscaler_fleet_nodes[30s])))",
  );
  expect(countedBy("phase")).toBe("phase");
  expect(countedBy("toString")).toBe("policy");
});
