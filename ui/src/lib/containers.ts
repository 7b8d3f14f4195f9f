// The table of containers, put together from one instant query per figure.

import type { VectorSample } from "./series";

export interface ContainerUsage {
  key: string;
  namespace: string;
  pod: string;
  container: string;
  node: string;
  cpu?: number;
  cpuRequest?: number;
  cpuLimit?: number;
  memory?: number;
  memoryRequest?: number;
  memoryLimit?: number;
  /** Share of scheduling periods in which the container was held back. */
  throttled?: number;
  oomKills?: number;
}

export type UsageField =
  | "cpu"
  | "cpuRequest"
  | "cpuLimit"
  | "memory"
  | "memoryRequest"
  | "memoryLimit"
  | "throttled"
  | "oomKills";

// Usage makes a row; figures about requests alone do not, for they outlive their container.
const MAKES_ROW: ReadonlySet<UsageField> = new Set(["cpu", "memory"]);

/** Joins the answers by namespace, pod and container. */
export function joinContainers(answers: Partial<Record<UsageField, VectorSample[]>>): ContainerUsage[] {
  const rows = new Map<string, ContainerUsage>();
  const fields = Object.keys(answers) as UsageField[];
  fields.sort((a, b) => Number(MAKES_ROW.has(b)) - Number(MAKES_ROW.has(a)));
  for (const field of fields) {
    for (const { labels, value } of answers[field] ?? []) {
      const { namespace = "", pod = "", container = "", node = "" } = labels;
      if (pod === "" && container === "") continue;
      const key = `${namespace}/${pod}/${container}`;
      let row = rows.get(key);
      if (!row) {
        if (!MAKES_ROW.has(field)) continue;
        row = { key, namespace, pod, container, node };
        rows.set(key, row);
      }
      if (node && !row.node) row.node = node;
      if (Number.isFinite(value)) row[field] = value;
    }
  }
  return [...rows.values()];
}

export type SortKey = "name" | "cpu" | "memory";

export function sortContainers(rows: ContainerUsage[], key: SortKey): ContainerUsage[] {
  const byName = (a: ContainerUsage, b: ContainerUsage) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
  return [...rows].sort((a, b) => (key === "name" ? 0 : (b[key] ?? -1) - (a[key] ?? -1)) || byName(a, b));
}

export function filterContainers(rows: ContainerUsage[], text: string): ContainerUsage[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return rows;
  return rows.filter((row) => words.every((word) => `${row.key} ${row.node}`.toLowerCase().includes(word)));
}
