// A fleet as GET /api/v1/nodes answers, for tests.

import type { FleetNode } from "./fleet";

export const NODE: FleetNode = {
  name: "general-2",
  claim: "general-2",
  policy: "general",
  offer: "m5.large",
  zone: "eu-a",
  capacityType: "spot",
  pricePerHour: 0.096,
  phase: "Ready",
  ready: true,
  created: Date.parse("2026-11-23T13:00:00Z"),
  version: "v1.34.1",
  pods: 7,
  requested: { cpu: 1.5, memory: 2 * 2 ** 30 },
  allocatable: { cpu: 2, memory: 8 * 2 ** 30 },
  why: "for 7 pods of shop/checkout",
  stay: {
    code: "TooYoung",
    message: "it is 4 min old",
    verdicts: [
      { rule: "ownership", stays: false, code: "Ours", message: "policy general made it" },
      { rule: "age", stays: true, code: "TooYoung", message: "it is 4 min old" },
    ],
  },
};

/** As it comes: Go leaves out what is empty, and writes null for lists that were never made. */
export const ANSWER = {
  time: "2026-11-23T14:00:00Z",
  cost: 1.2,
  lowerBound: 1,
  planSeconds: 0.02,
  policies: [
    { name: "general", mode: "Apply", provider: "kwok", nodes: 2, ready: 1, upgrade: { total: 2, updated: 1 } },
  ],
  nodes: [
    {
      name: "general-2",
      policy: "general",
      pricePerHour: 0.1,
      phase: "Ready",
      ready: true,
      created: "2026-11-23T13:00:00Z",
      pods: 3,
      requested: { cpu: 1, memory: 1 },
      allocatable: { cpu: 2, memory: 4 },
      why: "for 3 pods",
      stay: { code: "TooYoung", message: "it is young", verdicts: null },
    },
    {
      name: "general-3",
      pricePerHour: 0,
      phase: "Launched",
      ready: false,
      created: "0001-01-01T00:00:00Z",
      requested: { cpu: 0, memory: 0 },
      allocatable: { cpu: 0, memory: 0 },
      stay: { code: "Booting", message: "it is being made" },
      someday: "a field of a later version",
    },
  ],
  moves: null,
  pending: null,
  pendingCount: 0,
};

/** A decision about nodes, as the autoscaler logs it. */
export const NODES_LINE = JSON.stringify({
  namespace: "",
  name: "general",
  target: { apiVersion: "autoscaling.yagura.dev/v1alpha1", kind: "NodePolicy", name: "general" },
  mode: "Apply",
  time: "2026-11-23T14:00:00Z",
  outcome: "Provisioned",
  code: "PodsPending",
  reason: "Asked for 2 nodes for 8 pods, 0.19 per hour: 2 m5.large in eu-a",
  currentReplicas: 3,
  readyReplicas: 3,
  recommendedReplicas: 3,
  desiredReplicas: 3,
  minReplicas: 0,
  maxReplicas: 0,
  objectives: [],
  verdicts: [],
  direction: "Nodes",
  nodeActions: [
    {
      action: "Create",
      claim: "general-4",
      offer: "m5.large",
      zone: "eu-a",
      pricePerHour: 0.096,
      podCount: 4,
      pods: ["shop/a-1"],
      code: "PodsPending",
      reason: "for 4 pods of shop/a",
    },
    {
      action: "Create",
      claim: "general-5",
      offer: "m5.large",
      zone: "eu-a",
      pricePerHour: 0.096,
      podCount: 4,
      code: "PodsPending",
      reason: "for 4 pods of shop/b",
    },
    { action: "Cordon", node: "general-2", claim: "claim-2", code: "Empty", reason: "no pod runs on it" },
  ],
  nodeCost: { before: 0.3, after: 0.49, lowerBound: 0.28 },
  withoutNode: [{ pod: "shop/c-1", reasons: ["no offer has 96 cores"] }],
  withoutNodeCount: 1,
  equalTicks: 0,
});
