// A trace as a tree, and the tree as rows of a waterfall. Everything here is linear in the number of spans.

export interface SpanTag {
  key: string;
  type: string;
  value: string | number | boolean;
}

export interface SpanEvent {
  /** Microseconds since the epoch. */
  time: number;
  fields: SpanTag[];
}

export interface Span {
  traceId: string;
  spanId: string;
  parentId?: string;
  name: string;
  service: string;
  /** Microseconds since the epoch. */
  start: number;
  /** Microseconds. */
  duration: number;
  tags: SpanTag[];
  events: SpanEvent[];
  process: SpanTag[];
  warnings: string[];
  error: boolean;
  kind?: string;
  statusMessage?: string;
}

export interface Trace {
  id: string;
  spans: Span[];
}

export interface SpanNode {
  span: Span;
  depth: number;
  children: SpanNode[];
  /** Number of spans below this one. */
  descendants: number;
  /** The parent is named but was not received. */
  orphan: boolean;
}

export interface TraceModel {
  id: string;
  roots: SpanNode[];
  /** Depth first, siblings by start. */
  order: SpanNode[];
  byId: Map<string, SpanNode>;
  start: number;
  end: number;
  services: { name: string; spans: number; errors: number }[];
  errors: number;
  depth: number;
}

/** Builds the tree. Missing parents make roots, and cycles (broken senders exist) are cut where they close. */
export function buildTrace(trace: Trace): TraceModel {
  const byId = new Map<string, SpanNode>();
  for (const span of trace.spans) {
    // A span sent twice stays once.
    if (!byId.has(span.spanId)) byId.set(span.spanId, { span, depth: 0, children: [], descendants: 0, orphan: false });
  }
  const candidates: SpanNode[] = [];
  for (const node of byId.values()) {
    const parent = node.span.parentId ? byId.get(node.span.parentId) : undefined;
    if (parent && parent !== node) parent.children.push(node);
    else {
      node.orphan = node.span.parentId !== undefined;
      candidates.push(node);
    }
  }
  const order: SpanNode[] = [];
  const visited = new Set<SpanNode>();
  const roots: SpanNode[] = [];
  const byStart = (a: SpanNode, b: SpanNode) => a.span.start - b.span.start || b.span.duration - a.span.duration;
  const walk = (root: SpanNode) => {
    roots.push(root);
    const stack: SpanNode[] = [root];
    visited.add(root);
    while (stack.length > 0) {
      const node = stack.pop() as SpanNode;
      order.push(node);
      node.children = node.children.filter((child) => !visited.has(child)).sort(byStart);
      for (let index = node.children.length - 1; index >= 0; index--) {
        const child = node.children[index] as SpanNode;
        child.depth = node.depth + 1;
        visited.add(child);
        stack.push(child);
      }
    }
  };
  for (const root of candidates.sort(byStart)) walk(root);
  // What no root reaches sits in a cycle; its earliest span becomes a root.
  for (const node of [...byId.values()].filter((entry) => !visited.has(entry)).sort(byStart)) {
    if (!visited.has(node)) {
      node.orphan = true;
      walk(node);
    }
  }
  // Children stand behind their parents, so one pass from the end adds up the subtrees.
  for (let index = order.length - 1; index >= 0; index--) {
    const node = order[index] as SpanNode;
    node.descendants = node.children.reduce((sum, child) => sum + 1 + child.descendants, 0);
  }
  let start = Number.POSITIVE_INFINITY;
  let end = Number.NEGATIVE_INFINITY;
  let errors = 0;
  let depth = 0;
  const services = new Map<string, { name: string; spans: number; errors: number }>();
  for (const { span, depth: level } of order) {
    start = Math.min(start, span.start);
    end = Math.max(end, span.start + span.duration);
    depth = Math.max(depth, level + 1);
    const service = services.get(span.service) ?? { name: span.service, spans: 0, errors: 0 };
    service.spans++;
    if (span.error) {
      service.errors++;
      errors++;
    }
    services.set(span.service, service);
  }
  if (order.length === 0) {
    start = 0;
    end = 0;
  }
  return {
    id: trace.id,
    roots,
    order,
    byId,
    start,
    end,
    services: [...services.values()].sort((a, b) => b.spans - a.spans || (a.name < b.name ? -1 : 1)),
    errors,
    depth,
  };
}

/** The rows to draw: spans below a collapsed one are left out. */
export function visibleRows(model: TraceModel, collapsed: ReadonlySet<string>): SpanNode[] {
  if (collapsed.size === 0) return model.order;
  const rows: SpanNode[] = [];
  for (let index = 0; index < model.order.length; index++) {
    const node = model.order[index] as SpanNode;
    rows.push(node);
    // Depth first order puts the whole subtree right behind its root.
    if (collapsed.has(node.span.spanId)) index += node.descendants;
  }
  return rows;
}

/** Where a span lies within a window, as percentages; at least a sliver wide so that it can be seen. */
export function placeSpan(
  span: Pick<Span, "start" | "duration">,
  start: number,
  end: number,
): { left: number; width: number } {
  const total = Math.max(1, end - start);
  const left = Math.min(100, Math.max(0, ((span.start - start) / total) * 100));
  const right = Math.min(100, Math.max(0, ((span.start + span.duration - start) / total) * 100));
  return { left: Math.min(left, 99.85), width: Math.max(0.15, right - left) };
}

/**
 * The critical path: the spans that the end of the trace waited for. Walking back from the end of a span, the child
 * that finished last before the cursor was being waited for; the cursor then moves to that child's start.
 */
export function criticalPath(root: SpanNode): Set<string> {
  const path = new Set<string>();
  const stack: { node: SpanNode; until: number }[] = [{ node: root, until: root.span.start + root.span.duration }];
  while (stack.length > 0) {
    const { node, until } = stack.pop() as { node: SpanNode; until: number };
    path.add(node.span.spanId);
    let cursor = Math.min(until, node.span.start + node.span.duration);
    const byEnd = node.children
      .filter((child) => child.span.start < cursor)
      .sort((a, b) => b.span.start + b.span.duration - (a.span.start + a.span.duration));
    for (const child of byEnd) {
      const childEnd = child.span.start + child.span.duration;
      // Still running at the cursor, or outliving its parent: it was not waited for up to here.
      if (child.span.start >= cursor || childEnd > cursor) continue;
      stack.push({ node: child, until: childEnd });
      cursor = child.span.start;
    }
  }
  return path;
}

/** Time spent in the span itself, in microseconds: its duration without the union of its children. */
export function selfTime(node: SpanNode): number {
  const { start, duration } = node.span;
  const end = start + duration;
  let covered = 0;
  let cursor = start;
  for (const { span } of node.children) {
    const from = Math.max(cursor, span.start);
    const to = Math.min(end, span.start + span.duration);
    if (to > from) {
      covered += to - from;
      cursor = to;
    }
  }
  return Math.max(0, duration - covered);
}

export interface TraceSummary {
  id: string;
  rootService: string;
  rootName: string;
  start: number;
  duration: number;
  spans: number;
  errors: number;
  services: { name: string; spans: number; errors: number }[];
}

export function summarizeTrace(trace: Trace): TraceSummary {
  const model = buildTrace(trace);
  const root = model.roots.find((node) => !node.orphan) ?? model.roots[0];
  return {
    id: trace.id,
    rootService: root?.span.service ?? "unknown",
    rootName: root?.span.name ?? "unknown",
    start: model.start,
    duration: model.end - model.start,
    spans: model.order.length,
    errors: model.errors,
    services: model.services,
  };
}

export interface ServiceHealth {
  service: string;
  /** Requests seen: spans in which the service was entered. */
  requests: number;
  errors: number;
  /** Requests per second over the time that the traces cover. */
  rate: number;
  p50: number;
  p95: number;
  /** More requests exist than were looked at. */
  sampled: boolean;
}

/**
 * Rate, errors and durations of one service from a sample of its traces. When the sample hit its limit it covers only
 * the newest part of the range, so the rate is taken over that part.
 */
export function serviceHealth(
  service: string,
  traces: Trace[],
  rangeUs: { from: number; to: number },
  limit: number,
): ServiceHealth {
  const entries: Span[] = [];
  let oldest = rangeUs.to;
  for (const trace of traces) {
    const own = new Map(trace.spans.map((span) => [span.spanId, span.service]));
    for (const span of trace.spans) {
      if (span.service !== service) continue;
      // Entered from outside: no parent, or a parent in another service.
      if (span.parentId && own.get(span.parentId) === service) continue;
      entries.push(span);
      oldest = Math.min(oldest, span.start);
    }
  }
  const sampled = traces.length >= limit;
  const covered = sampled ? rangeUs.to - Math.max(oldest, rangeUs.from) : rangeUs.to - rangeUs.from;
  const durations = entries.map((span) => span.duration).sort((a, b) => a - b);
  return {
    service,
    requests: entries.length,
    errors: entries.filter((span) => span.error).length,
    rate: covered > 0 ? entries.length / (covered / 1e6) : 0,
    p50: percentile(durations, 0.5),
    p95: percentile(durations, 0.95),
    sampled,
  };
}

export function percentile(sorted: number[], q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(sorted.length - 1, below + 1)] as number;
  return low + (high - low) * (position - below);
}

/** Tags as people type them (`http.status_code=500 error=true`), as the object that the search takes. */
export function parseTags(text: string): { tags: Record<string, string>; error?: string } {
  const tags: Record<string, string> = {};
  const pattern = /\s*([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)/y;
  let index = 0;
  const trimmed = text.trimEnd();
  while (index < trimmed.length) {
    pattern.lastIndex = index;
    const match = pattern.exec(trimmed);
    if (!match) return { tags, error: `"${trimmed.slice(index).trim()}" is not key=value` };
    const raw = match[2] ?? "";
    tags[match[1] ?? ""] = raw.startsWith('"') ? raw.slice(1, -1).replace(/\\(.)/g, "$1") : raw;
    index = pattern.lastIndex;
  }
  return { tags };
}
