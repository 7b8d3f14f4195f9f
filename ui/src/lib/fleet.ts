// The fleet as GET /api/v1/nodes tells it: every node with its reason to be and to stay, moves, and pods without a node.
// Answers of every version are read: unknown keys are left out, missing ones stay empty.

import { z } from "zod";
import type { DecisionRecord, NodeAction } from "./decision";

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const number = z
  .number()
  .nullish()
  .transform((value) => value ?? 0);
const listOf = <Item extends z.ZodType>(item: Item) =>
  z
    .array(item)
    .nullish()
    .transform((value) => value ?? []);
/** An instant as epoch milliseconds; Go writes year 1 for one that is not known. */
const instant = z
  .string()
  .nullish()
  .transform((value) => {
    const ms = Date.parse(value ?? "");
    return Number.isNaN(ms) || ms <= 0 ? null : ms;
  });
const resources = z
  .object({ cpu: number, memory: number })
  .nullish()
  .transform((value) => value ?? { cpu: 0, memory: 0 });

const stay = z
  .object({
    code: text,
    message: text,
    verdicts: listOf(z.object({ rule: text, stays: z.boolean().catch(false), code: text, message: text })),
  })
  .nullish()
  .transform((value) => value ?? { code: "", message: "", verdicts: [] });

const node = z.object({
  name: z.string(),
  claim: text,
  policy: text,
  offer: text,
  zone: text,
  capacityType: text,
  pricePerHour: number,
  phase: text,
  ready: z.boolean().catch(false),
  created: instant,
  version: text,
  pods: number,
  requested: resources,
  allocatable: resources,
  why: text,
  stay,
});

const policy = z.object({
  name: z.string(),
  mode: text,
  provider: text,
  nodes: number,
  ready: number,
  unhealthy: number,
  cost: number,
  outcome: text,
  reason: text,
  upgrade: z
    .object({ total: number, updated: number, estimatedCompletion: instant, paused: text })
    .nullish()
    .transform((value) => value ?? null),
});

const move = z.object({
  policy: text,
  reason: text,
  remove: listOf(z.string()),
  create: listOf(z.string()),
  pods: number,
  saving: number,
  step: text,
  message: text,
});

const pod = z.object({ namespace: text, name: text, node: text, reasons: listOf(z.string()) });

/** Quantities are in cores, bytes, and money per hour. */
export const fleetSchema = z.object({
  time: instant,
  cost: number,
  lowerBound: number,
  planSeconds: number,
  policies: listOf(policy),
  nodes: listOf(node),
  moves: listOf(move),
  /** The first of pendingCount. */
  pending: listOf(pod),
  pendingCount: number,
});

export type Fleet = z.infer<typeof fleetSchema>;
export type FleetNode = Fleet["nodes"][number];
export type FleetPolicy = Fleet["policies"][number];
export type FleetMove = Fleet["moves"][number];
export type PendingPod = Fleet["pending"][number];

/** Where a node stands, in the order of its life. */
export const STANDINGS = ["making", "ready", "leaving", "unready"] as const;
export type Standing = (typeof STANDINGS)[number];

const MAKING: ReadonlySet<string> = new Set(["Pending", "Launched", "Registered"]);
const LEAVING: ReadonlySet<string> = new Set(["Disrupted", "Draining", "Terminating"]);

export function standingOf(entry: Pick<FleetNode, "phase" | "ready">): Standing {
  if (MAKING.has(entry.phase)) return "making";
  if (LEAVING.has(entry.phase)) return "leaving";
  return entry.ready ? "ready" : "unready";
}

/** How full a node is by what its pods request, 0..1 and beyond; null where what it offers is not known. */
export function fullness(entry: FleetNode, resource: "cpu" | "memory"): number | null {
  const of = entry.allocatable[resource];
  return of > 0 ? entry.requested[resource] / of : null;
}

export interface FleetSummary {
  nodes: number;
  standings: Record<Standing, number>;
  /** Shares of what the nodes together offer, null where they offer nothing. */
  cpu: number | null;
  memory: number | null;
  /** How far the cost is above its lower bound, as a share of the bound; null where there is no bound. */
  above: number | null;
}

export function summarizeFleet(fleet: Fleet): FleetSummary {
  const standings: Record<Standing, number> = { making: 0, ready: 0, leaving: 0, unready: 0 };
  const sums = { cpu: 0, memory: 0, ofCpu: 0, ofMemory: 0 };
  for (const entry of fleet.nodes) {
    standings[standingOf(entry)]++;
    sums.cpu += entry.requested.cpu;
    sums.memory += entry.requested.memory;
    sums.ofCpu += entry.allocatable.cpu;
    sums.ofMemory += entry.allocatable.memory;
  }
  return {
    nodes: fleet.nodes.length,
    standings,
    cpu: sums.ofCpu > 0 ? sums.cpu / sums.ofCpu : null,
    memory: sums.ofMemory > 0 ? sums.memory / sums.ofMemory : null,
    above: fleet.lowerBound > 0 ? fleet.cost / fleet.lowerBound - 1 : null,
  };
}

export interface NodeFilter {
  find?: string;
  policy?: string;
  zone?: string;
  phase?: string;
  capacity?: string;
}

/** In filters, what has no policy, zone or the like: the empty text means that nothing is filtered. */
export const NONE = "none";

export function filterNodes(nodes: FleetNode[], filter: NodeFilter): FleetNode[] {
  const words = (filter.find ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const is = (wanted: string | undefined, value: string) => !wanted || wanted === (value || NONE);
  return nodes.filter(
    (entry) =>
      is(filter.policy, entry.policy) &&
      is(filter.zone, entry.zone) &&
      is(filter.phase, entry.phase) &&
      is(filter.capacity, entry.capacityType) &&
      (words.length === 0 || matches(entry, words)),
  );
}

function matches(entry: FleetNode, words: string[]): boolean {
  const all =
    `${entry.name} ${entry.claim} ${entry.policy} ${entry.offer} ${entry.zone} ${entry.capacityType} ${entry.phase} ${entry.version} ${entry.stay.code} ${entry.stay.message} ${entry.why}`.toLowerCase();
  return words.every((word) => all.includes(word));
}

/** The values that a filter can be set to, sorted, with NONE last. */
export function choices(nodes: FleetNode[], pick: (entry: FleetNode) => string): string[] {
  const found = new Set(nodes.map(pick));
  const empty = found.delete("");
  return [...[...found].sort(), ...(empty ? [NONE] : [])];
}

export const SORTS = [
  "name",
  "policy",
  "offer",
  "zone",
  "phase",
  "price",
  "cpu",
  "memory",
  "pods",
  "age",
  "stay",
] as const;
export type SortKey = (typeof SORTS)[number];
export interface Sort {
  key: SortKey;
  descending: boolean;
}

/** `cpu` or `-cpu`, as it stands in the URL. */
export function parseSort(value: string | undefined): Sort {
  const descending = value?.startsWith("-") === true;
  const key = (descending ? value?.slice(1) : value) as SortKey;
  return SORTS.includes(key) ? { key, descending } : { key: "name", descending: false };
}

/** What a click on a column makes of the order: quantities start with the largest, words with the first. */
export function nextSort(sort: Sort, key: SortKey): string {
  const descending = sort.key === key ? !sort.descending : !WORDS.has(key);
  return descending ? `-${key}` : key;
}

const WORDS: ReadonlySet<SortKey> = new Set(["name", "policy", "offer", "zone", "phase", "stay"]);
const PHASES = ["Pending", "Launched", "Registered", "Ready", "NotReady", "Disrupted", "Draining", "Terminating"];

function sortValue(entry: FleetNode, key: SortKey): string | number | null {
  switch (key) {
    case "phase":
      return PHASES.indexOf(entry.phase);
    case "price":
      return entry.pricePerHour;
    case "cpu":
    case "memory":
      return fullness(entry, key);
    case "age":
      // The oldest node has the greatest age.
      return entry.created === null ? null : -entry.created;
    case "stay":
      return entry.stay.code;
    default:
      return entry[key];
  }
}

/** Sorted by one column, and by name among equals, numbers within names by their value. What is not known comes last. */
export function sortNodes(nodes: FleetNode[], sort: Sort): FleetNode[] {
  const keyed = nodes.map((entry) => ({ entry, value: sortValue(entry, sort.key) }));
  const sign = sort.descending ? -1 : 1;
  keyed.sort((a, b) => {
    if (a.value === null || b.value === null) {
      if (a.value !== b.value) return a.value === null ? 1 : -1;
    } else if (a.value !== b.value) {
      const before =
        typeof a.value === "string" ? NAMES.compare(a.value, b.value as string) < 0 : a.value < (b.value as number);
      return before ? -sign : sign;
    }
    return NAMES.compare(a.entry.name, b.entry.name);
  });
  return keyed.map(({ entry }) => entry);
}

const NAMES = new Intl.Collator("en", { numeric: true });

export interface ZoneGroup {
  zone: string;
  nodes: FleetNode[];
  cost: number;
}

/** Nodes by zone; within one by policy and offer, so that equals stand together. */
export function byZone(nodes: FleetNode[]): ZoneGroup[] {
  const groups = new Map<string, ZoneGroup>();
  for (const entry of nodes) {
    const group = groups.get(entry.zone) ?? { zone: entry.zone, nodes: [], cost: 0 };
    group.nodes.push(entry);
    group.cost += entry.pricePerHour;
    groups.set(entry.zone, group);
  }
  for (const group of groups.values()) {
    const keyed = group.nodes.map((entry) => ({
      entry,
      key: `${entry.policy}\u0000${entry.offer}\u0000${entry.capacityType}`,
    }));
    keyed.sort((a, b) => (a.key === b.key ? NAMES.compare(a.entry.name, b.entry.name) : a.key < b.key ? -1 : 1));
    group.nodes = keyed.map(({ entry }) => entry);
  }
  return [...groups.values()].sort((a, b) => (a.zone === "" ? 1 : b.zone === "" ? -1 : NAMES.compare(a.zone, b.zone)));
}

/** A move that is only recommended, or not begun. */
export function isPlanned(entry: FleetMove): boolean {
  return entry.step === "Recommended";
}

export interface PendingGroup {
  key: string;
  namespace: string;
  /** There is, or will be, a node for these. */
  placed: boolean;
  reasons: string[];
  pods: PendingPod[];
}

/** Pods that wait for the same reasons, the largest group first: a burst is one line and not a thousand. */
export function groupPending(pods: PendingPod[]): PendingGroup[] {
  const groups = new Map<string, PendingGroup>();
  for (const entry of pods) {
    const placed = entry.node !== "";
    const key = JSON.stringify([entry.namespace, placed, entry.reasons]);
    const group = groups.get(key) ?? { key, namespace: entry.namespace, placed, reasons: entry.reasons, pods: [] };
    group.pods.push(entry);
    groups.set(key, group);
  }
  return [...groups.values()].sort((a, b) => Number(a.placed) - Number(b.placed) || b.pods.length - a.pods.length);
}

/** Money per hour. The currency is whatever the provider's prices are in. */
export function formatMoney(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const magnitude = Math.abs(value);
  if (magnitude >= 10_000) return Math.round(value).toLocaleString("en");
  if (magnitude >= 1 || magnitude === 0) return value.toFixed(2);
  return String(Number(value.toPrecision(3)));
}

const VERBS: Record<string, string> = {
  Create: "new",
  Cordon: "to leave",
  Drain: "draining",
  Delete: "given back",
  RestartAgent: "agents restarted",
  Reboot: "rebooted",
  Replace: "replaced",
  Uncordon: "kept after all",
};

/** What was done to nodes, in numbers: "3 new, 1 to leave". */
export function describeActions(actions: NodeAction[]): string {
  const counts = new Map<string, number>();
  for (const { action } of actions) counts.set(action, (counts.get(action) ?? 0) + 1);
  return [...counts].map(([action, count]) => `${count} ${VERBS[action] ?? action}`).join(", ");
}

/** What a record did to one node, which its claim names too. */
export function actionsOn(record: DecisionRecord, name: string, claim: string): NodeAction[] {
  return record.nodeActions.filter(
    (action) => action.node === name || action.claim === name || (claim !== "" && action.claim === claim),
  );
}

/** The labels that the fleet can be counted by, and what they are called. */
export const COUNTED_BY = {
  policy: "Policy",
  target_zone: "Zone",
  capacity_type: "Capacity type",
  phase: "Phase",
} as const;
export type CountedBy = keyof typeof COUNTED_BY;

export function countedBy(value: string | undefined): CountedBy {
  return value !== undefined && Object.hasOwn(COUNTED_BY, value) ? (value as CountedBy) : "policy";
}

const GROUPS = Object.keys(COUNTED_BY).join(", ");

/**
 * The queries of the fleet over time. Each value stands for `window` seconds at most: groups that have emptied are not
 * exported any more, and Prometheus would go on with their last number for minutes. Where two replicas reported (the lead
 * was handed over), the fleet counts once.
 */
export function fleetQueries(by: CountedBy, window: number) {
  const newest = (metric: string) => `last_over_time(yagura_autoscaler_fleet_${metric}[${window}s])`;
  return {
    nodes: `sum by (${by}) (max by (${GROUPS}) (${newest("nodes")}))`,
    cost: `sum (max by (policy) (${newest("cost_per_hour")}))`,
    bound: `max (${newest("cost_lower_bound")})`,
    pending: `max (${newest("pods_pending")})`,
  };
}
