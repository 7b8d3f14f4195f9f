// One decision of the autoscaler, as its log entry holds it: about replicas, about what containers request, or about nodes.
// Records of every version are read: unknown keys are left out, missing ones stay empty.

import { z } from "zod";

export const HORIZONTAL_OUTCOMES = ["ScaledOut", "ScaledIn"] as const;
export const VERTICAL_OUTCOMES = ["Resized", "Recreated", "RolledBack"] as const;
export const NODE_OUTCOMES = ["Provisioned", "Consolidated", "Repaired", "Renewed"] as const;
export const SHARED_OUTCOMES = ["Unchanged", "Held", "Recommended", "Observed", "Failed"] as const;
export const OUTCOMES = [...HORIZONTAL_OUTCOMES, ...VERTICAL_OUTCOMES, ...NODE_OUTCOMES, ...SHARED_OUTCOMES] as const;
export type Outcome = (typeof OUTCOMES)[number] | "Unknown";

export type Direction = "horizontal" | "vertical" | "nodes";

/** What a direction is called in records; those about replicas name none. */
const DIRECTIONS: Record<string, Direction> = { Vertical: "vertical", Nodes: "nodes" };

const outcomeSchema = z
  .string()
  .transform((text): Outcome => ((OUTCOMES as readonly string[]).includes(text) ? (text as Outcome) : "Unknown"));
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? "");
const quantity = z
  .number()
  .nullish()
  .transform((value) => value ?? null);
const listOf = <Item extends z.ZodType>(item: Item) =>
  z
    .array(item)
    .nullish()
    .transform((value) => value ?? []);

const objectiveSchema = z.object({
  name: z.string(),
  kind: text,
  query: text,
  value: quantity,
  target: quantity,
  unit: text,
  per: text,
  replicas: quantity,
  state: text,
  ageSeconds: quantity,
  reason: text,
});

const verdictSchema = z.object({
  rule: z.string(),
  action: text,
  code: text,
  from: quantity,
  to: quantity,
  reason: text,
});

/** Quantities are in cores or bytes. */
const sizeSchema = z.object({
  container: z.string(),
  // Series say "default" where records leave the role out.
  role: text.transform((role) => (role === "default" ? "" : role)),
  resource: z.string(),
  usage: quantity,
  request: quantity,
  limit: quantity,
  recommended: quantity,
  desired: quantity,
  desiredLimit: quantity,
  model: text,
  confidence: quantity,
  state: text,
  reason: text,
  verdicts: listOf(verdictSchema),
});

const podSchema = z.object({ pod: z.string(), method: text, result: text, code: text, reason: text });

const nodeActionSchema = z.object({
  action: z.string(),
  /** Empty for a node that is not there yet. */
  node: text,
  /** Empty for a node that no policy made. */
  claim: text,
  offer: text,
  zone: text,
  capacityType: text,
  /** Money per hour. */
  pricePerHour: quantity,
  /** Those that a node is made for, or that leave it: the first of podCount. */
  pods: listOf(z.string()),
  podCount: quantity.transform((value) => value ?? 0),
  code: text,
  reason: text,
});

/** Money per hour, of all nodes of all policies. */
const nodeCostSchema = z.object({ before: quantity, after: quantity, lowerBound: quantity });

export const recordSchema = z.object({
  namespace: z.string(),
  name: z.string(),
  target: z
    .object({ apiVersion: z.string().optional(), kind: z.string().optional(), name: z.string().optional() })
    .nullish()
    .transform((value) => value ?? {}),
  mode: text,
  time: text,
  outcome: outcomeSchema,
  code: text,
  reason: text,
  currentReplicas: quantity,
  readyReplicas: quantity,
  recommendedReplicas: quantity,
  desiredReplicas: quantity,
  minReplicas: quantity,
  maxReplicas: quantity,
  objectives: listOf(objectiveSchema),
  verdicts: listOf(verdictSchema),
  // Left out of records about replicas, and of all that were written before there were others.
  direction: text.transform((name): Direction => DIRECTIONS[name] ?? "horizontal"),
  sizes: listOf(sizeSchema),
  pods: listOf(podSchema),
  nodeActions: listOf(nodeActionSchema),
  nodeCost: nodeCostSchema.nullish().transform((value) => value ?? null),
  /** The first of withoutNodeCount. */
  withoutNode: listOf(z.object({ pod: z.string(), reasons: listOf(z.string()) })),
  withoutNodeCount: quantity.transform((value) => value ?? 0),
  equalTicks: quantity.transform((value) => value ?? 0),
});

export type DecisionRecord = z.infer<typeof recordSchema> & {
  /** Epoch milliseconds: the record's own time, else that of its log entry. */
  ms: number;
  id: string;
  traceId?: string;
};

export type Objective = DecisionRecord["objectives"][number];
export type Verdict = DecisionRecord["verdicts"][number];
export type NodeAction = DecisionRecord["nodeActions"][number];
export type Size = DecisionRecord["sizes"][number];
export type PodAction = DecisionRecord["pods"][number];

/** Reads a log line as a record. The autoscaler also logs ordinary lines, which are simply not records. */
export function parseRecord(line: string, entryMs: number, id: string, traceId?: string): DecisionRecord | undefined {
  let body: unknown;
  try {
    body = JSON.parse(line);
  } catch {
    return undefined;
  }
  const parsed = recordSchema.safeParse(body);
  if (!parsed.success) return undefined;
  const own = Date.parse(parsed.data.time);
  return { ...parsed.data, ms: Number.isNaN(own) ? entryMs : own, id, traceId };
}

/** The records about replicas, those about sizes and those about nodes, each in the order given. */
export function byDirection(records: DecisionRecord[]): Record<Direction, DecisionRecord[]> {
  return {
    horizontal: records.filter((record) => record.direction === "horizontal"),
    vertical: records.filter((record) => record.direction === "vertical"),
    nodes: records.filter((record) => record.direction === "nodes"),
  };
}

/** Whether the target was changed. */
export function acted(record: DecisionRecord): boolean {
  const { outcome } = record;
  return ([...HORIZONTAL_OUTCOMES, ...VERTICAL_OUTCOMES, ...NODE_OUTCOMES] as string[]).includes(outcome);
}

/** Whether the change answers a container that was killed for memory. */
export function answersKill(record: DecisionRecord): boolean {
  if (record.direction !== "vertical" || !acted(record) || record.outcome === "RolledBack") return false;
  return record.code === "OOM" || record.sizes.some((size) => size.verdicts.some((verdict) => verdict.code === "OOM"));
}

/** What a mark on a time axis stands for. */
export type Occasion = Outcome | "KillAnswered";

export function occasionOf(record: DecisionRecord): Occasion {
  return answersKill(record) ? "KillAnswered" : record.outcome;
}

const WEIGHT: Record<Occasion, number> = {
  Failed: 8,
  KillAnswered: 7,
  RolledBack: 7,
  ScaledOut: 6,
  ScaledIn: 6,
  Recreated: 6,
  Resized: 5,
  Repaired: 7,
  Provisioned: 6,
  Renewed: 6,
  Consolidated: 6,
  Held: 4,
  Recommended: 3,
  Observed: 2,
  Unchanged: 1,
  Unknown: 0,
};

/** How much an occasion says: of several, the weightiest stands for all. */
export function weightOf(occasion: Occasion): number {
  return WEIGHT[occasion];
}

/** A verdict's step from one number to the next, as people write it. */
export function verdictStep(verdict: Verdict, write: (value: number) => string = String): string {
  const { from, to } = verdict;
  if (from === null && to === null) return "–";
  if (from === null || to === null || from === to) return write((from ?? to) as number);
  return `${write(from)} → ${write(to)}`;
}
