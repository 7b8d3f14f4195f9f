// The queries behind the node tiles. Names are node_exporter's, so any exporter of them will do.

import { formatMatcher, formatPromDuration, rateWindow } from "../../lib/promql";
import type { Unit } from "../../lib/units";

export interface NodeTile {
  id: string;
  title: string;
  unit: Unit;
  /** One query per line in the chart. */
  lines: { name: string; query: string; dashed?: boolean }[];
  /** The value at the end of the range, in words of its own. */
  headline: "last" | "sum";
  max?: number;
}

export interface NodeScope {
  /** The label that names the node on these series ("node" or "instance"), and its value. */
  label?: string;
  value?: string;
}

export function nodeSelector(scope: NodeScope, ...matchers: string[]): string {
  const own = scope.label && scope.value ? [formatMatcher({ label: scope.label, op: "=", value: scope.value })] : [];
  const all = [...own, ...matchers];
  return all.length === 0 ? "" : `{${all.join(", ")}}`;
}

// Layers over other devices would be counted twice.
const REAL_DISKS = 'device!~"(dm-|loop|ram|zram|md|sr|fd).*"';
const REAL_LINKS = 'device!~"(lo|veth|cni|docker|br-|virbr|cali|flannel|tunl|dummy|kube-|nodelocal).*"';
const REAL_FILESYSTEMS = 'fstype!~"tmpfs|overlay|squashfs|ramfs|devtmpfs|nsfs|proc|sysfs|cgroup.*|fuse.*"';

/** `fast` and `slow` are the measured intervals, in seconds, of the series that decide and of the rest. */
export function nodeTiles(scope: NodeScope, fast: number, slow: number, step: number): NodeTile[] {
  const sel = (...matchers: string[]) => nodeSelector(scope, ...matchers);
  const quick = formatPromDuration(rateWindow(fast, step));
  const calm = formatPromDuration(rateWindow(slow, step));
  return [
    {
      id: "cpu",
      title: "CPU",
      unit: "ratio",
      max: 1,
      headline: "last",
      lines: [
        {
          name: "busy",
          query: `1 - sum(rate(node_cpu_seconds_total${sel('mode=~"idle|iowait|steal"')}[${quick}])) / sum(rate(node_cpu_seconds_total${sel()}[${quick}]))`,
        },
        {
          name: "waiting for disks",
          dashed: true,
          query: `sum(rate(node_cpu_seconds_total${sel('mode="iowait"')}[${quick}])) / sum(rate(node_cpu_seconds_total${sel()}[${quick}]))`,
        },
      ],
    },
    {
      id: "memory",
      title: "Memory",
      unit: "bytes",
      headline: "last",
      lines: [
        { name: "used", query: `sum(node_memory_MemTotal_bytes${sel()} - node_memory_MemAvailable_bytes${sel()})` },
        { name: "total", dashed: true, query: `sum(node_memory_MemTotal_bytes${sel()})` },
      ],
    },
    {
      id: "load",
      title: "Load",
      unit: "number",
      headline: "last",
      lines: [
        { name: "1 min", query: `sum(node_load1${sel()})` },
        { name: "15 min", dashed: true, query: `sum(node_load15${sel()})` },
      ],
    },
    {
      id: "disk",
      title: "Disk traffic",
      unit: "bytesPerSecond",
      headline: "sum",
      lines: [
        { name: "read", query: `sum(rate(node_disk_read_bytes_total${sel(REAL_DISKS)}[${calm}]))` },
        { name: "written", query: `sum(rate(node_disk_written_bytes_total${sel(REAL_DISKS)}[${calm}]))` },
      ],
    },
    {
      id: "network",
      title: "Network",
      unit: "bytesPerSecond",
      headline: "sum",
      lines: [
        { name: "received", query: `sum(rate(node_network_receive_bytes_total${sel(REAL_LINKS)}[${calm}]))` },
        { name: "sent", query: `sum(rate(node_network_transmit_bytes_total${sel(REAL_LINKS)}[${calm}]))` },
      ],
    },
    {
      id: "filesystem",
      title: "Fullest file system",
      unit: "ratio",
      max: 1,
      headline: "last",
      lines: [
        {
          name: "used",
          query: `max(1 - node_filesystem_avail_bytes${sel(REAL_FILESYSTEMS)} / (node_filesystem_size_bytes${sel(REAL_FILESYSTEMS)} > 0))`,
        },
      ],
    },
  ];
}

/** The name of one line's part in the combined query. */
export function lineId(tile: NodeTile, index: number): string {
  return `${tile.id}.${index}`;
}

export function lineQueries(tiles: NodeTile[]): Record<string, string> {
  return Object.fromEntries(
    tiles.flatMap((tile) => tile.lines.map((line, index) => [lineId(tile, index), line.query])),
  );
}
