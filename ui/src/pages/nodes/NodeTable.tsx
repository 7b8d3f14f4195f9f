import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useRef, useState } from "react";
import { Meter } from "../../components/Meter";
import { type FleetNode, formatMoney, fullness, nextSort, type Sort, type SortKey } from "../../lib/fleet";
import { formatSeconds, formatValue } from "../../lib/units";
import classes from "./NodeTable.module.css";
import { PhaseBadge } from "./PhaseBadge";

interface NodeTableProps {
  nodes: FleetNode[];
  sort: Sort;
  selected?: string;
  /** Epoch milliseconds that ages are counted to. */
  now: number;
  onSort: (sort: string) => void;
  onOpen: (name: string) => void;
}

const ROW = 47;

const COLUMNS: { width?: number; sorts: [SortKey, string][] }[] = [
  {
    width: 186,
    sorts: [
      ["name", "Node"],
      ["policy", "Policy"],
    ],
  },
  {
    width: 168,
    sorts: [
      ["offer", "Offer"],
      ["zone", "Zone"],
    ],
  },
  { width: 106, sorts: [["phase", "Phase"]] },
  { width: 74, sorts: [["price", "Price/h"]] },
  { width: 106, sorts: [["cpu", "CPU"]] },
  { width: 116, sorts: [["memory", "Memory"]] },
  { width: 54, sorts: [["pods", "Pods"]] },
  { width: 88, sorts: [["age", "Age"]] },
  { sorts: [["stay", "Why it stays, and why it is there"]] },
];

/** Every node in two lines, drawn only where they are visible. ↑ ↓ move, Enter opens. */
export function NodeTable({ nodes, sort, selected, now, onSort, onOpen }: NodeTableProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [cursor, setCursor] = useState<string>();
  const rows = useVirtualizer({
    count: nodes.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    getItemKey: (index) => nodes[index]?.name ?? index,
    overscan: 8,
    // The head covers what stands at the top.
    scrollPaddingStart: 36,
  });
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== scroller.current) return;
    const at = nodes.findIndex((entry) => entry.name === cursor);
    const page = Math.max(1, Math.floor((scroller.current.clientHeight - 36) / ROW) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -nodes.length,
      End: nodes.length,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = Math.max(0, Math.min(nodes.length - 1, at + step));
      setCursor(nodes[next]?.name);
      rows.scrollToIndex(next, { align: "auto" });
    } else if (event.key === "Enter" && cursor) {
      event.preventDefault();
      onOpen(cursor);
    }
  };
  const items = rows.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = Math.max(0, rows.getTotalSize() - (items.at(-1)?.end ?? 0));
  return (
    <section
      ref={scroller}
      className={classes.scroll}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is a tab stop, and its keys move the cursor
      tabIndex={0}
      aria-label="Table of nodes"
      onKeyDown={onKeyDown}
    >
      <table className={classes.table} aria-rowcount={nodes.length + 1}>
        <colgroup>
          {COLUMNS.map((column) => (
            <col key={column.sorts[0]?.[0]} style={{ width: column.width }} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {COLUMNS.map((column) => (
              <Head key={column.sorts[0]?.[0]} sorts={column.sorts} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {before > 0 && <Space height={before} />}
          {items.map((item) => {
            const entry = nodes[item.index] as FleetNode;
            return (
              <Row
                key={item.key}
                index={item.index}
                entry={entry}
                now={now}
                selected={entry.name === selected}
                cursor={entry.name === cursor}
                onOpen={(name) => {
                  setCursor(name);
                  onOpen(name);
                }}
              />
            );
          })}
          {after > 0 && <Space height={after} />}
        </tbody>
      </table>
    </section>
  );
}

function Space({ height }: { height: number }) {
  return (
    <tr className={classes.space} aria-hidden>
      <td colSpan={COLUMNS.length} style={{ height }} />
    </tr>
  );
}

interface HeadProps {
  sorts: [SortKey, string][];
  sort: Sort;
  onSort: (sort: string) => void;
}

function Head({ sorts, sort, onSort }: HeadProps) {
  const active = sorts.some(([key]) => key === sort.key);
  const Arrow = sort.descending ? IconArrowDown : IconArrowUp;
  return (
    <th scope="col" aria-sort={active ? (sort.descending ? "descending" : "ascending") : "none"}>
      <span className={classes.sorts}>
        {sorts.map(([key, label]) => (
          <button
            key={key}
            type="button"
            className={classes.sort}
            data-active={sort.key === key || undefined}
            onClick={() => onSort(nextSort(sort, key))}
          >
            {label}
            {sort.key === key && <Arrow size={12} aria-hidden />}
          </button>
        ))}
      </span>
    </th>
  );
}

interface RowProps {
  index: number;
  entry: FleetNode;
  now: number;
  selected: boolean;
  cursor: boolean;
  onOpen: (name: string) => void;
}

function Row({ index, entry, now, selected, cursor, onOpen }: RowProps) {
  return (
    <tr
      aria-rowindex={index + 2}
      className={classes.row}
      data-selected={selected || undefined}
      data-cursor={cursor || undefined}
      onClick={() => onOpen(entry.name)}
    >
      <td title={entry.name}>
        <button
          type="button"
          tabIndex={-1}
          className={classes.name}
          onClick={(event) => {
            event.stopPropagation();
            onOpen(entry.name);
          }}
        >
          {entry.name}
        </button>
        <div className={classes.dim}>{entry.policy || "no policy"}</div>
      </td>
      <td>
        <div className={classes.cut}>{entry.offer || "–"}</div>
        <div className={classes.dim}>{[entry.zone, entry.capacityType].filter(Boolean).join(" · ") || "–"}</div>
      </td>
      <td>
        <PhaseBadge node={entry} />
      </td>
      <td className="num">{entry.pricePerHour > 0 ? formatMoney(entry.pricePerHour) : "–"}</td>
      <td>
        <Fullness entry={entry} resource="cpu" />
      </td>
      <td>
        <Fullness entry={entry} resource="memory" />
      </td>
      <td className="num">{entry.pods}</td>
      <td className="num">{entry.created === null ? "–" : formatAge(now - entry.created)}</td>
      <td title={`${entry.stay.message}\n${entry.why}`}>
        <div className={classes.cut}>
          <span className={classes.code}>{entry.stay.code}</span> {entry.stay.message}
        </div>
        <div className={classes.dim}>{entry.why}</div>
      </td>
    </tr>
  );
}

/** Without seconds beyond the first minutes, which would only flicker. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  return formatSeconds(seconds < 600 ? seconds : seconds - (seconds % 60));
}

/** How much of a node is requested. */
export function Fullness({ entry, resource }: { entry: FleetNode; resource: "cpu" | "memory" }) {
  const share = fullness(entry, resource);
  if (share === null) return <>–</>;
  const unit = resource === "cpu" ? "cores" : "bytes";
  return (
    <Meter
      plain
      value={share}
      of={1}
      text={formatValue(Math.round(share * 100) / 100, "ratio")}
      detail={`of ${formatValue(entry.allocatable[resource], unit)}`}
      label={`${resource === "cpu" ? "CPU" : "memory"} requested on ${entry.name}`}
    />
  );
}
