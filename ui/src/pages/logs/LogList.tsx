import { useComputedColorScheme } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { useTime } from "../../app/time";
import { levelColor, type Scheme } from "../../lib/colors";
import type { LogEntry } from "../../lib/logs";
import { formatClockMs, formatDateTime } from "../../lib/time";
import { LogDetails } from "./LogDetails";
import classes from "./LogList.module.css";

interface LogListProps {
  entries: LogEntry[];
  wrap: boolean;
  /** Labels shown in front of each line: those that differ between the lines. */
  shownLabels: string[];
  onFilter?: (name: string, value: string, include: boolean, entry: LogEntry) => void;
  /** Fixed height; without it the list fills its parent. */
  maxHeight?: number;
  label: string;
}

const ROW = 22;

/** Lines of a log, drawn only where they are visible. ↑ ↓ move, Enter opens. */
export function LogList({ entries, wrap, shownLabels, onFilter, maxHeight, label }: LogListProps) {
  const { zone } = useTime();
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const scroller = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [cursor, setCursor] = useState<string>();
  const rows = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    getItemKey: (index) => entries[index]?.id ?? index,
    overscan: 20,
  });
  // Wrapped or not, every row has another height.
  // biome-ignore lint/correctness/useExhaustiveDependencies: measuring again is the point
  useEffect(() => rows.measure(), [wrap, rows]);

  const toggle = (id: string) =>
    setOpen((before) => {
      const next = new Set(before);
      if (!next.delete(id)) next.add(id);
      return next;
    });

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== scroller.current) return;
    const at = entries.findIndex((entry) => entry.id === cursor);
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = Math.max(0, Math.min(entries.length - 1, at + (event.key === "ArrowDown" ? 1 : -1)));
      setCursor(entries[next]?.id);
      rows.scrollToIndex(next, { align: "auto" });
    } else if ((event.key === "Enter" || event.key === " ") && cursor) {
      event.preventDefault();
      toggle(cursor);
    }
  };

  return (
    <section
      ref={scroller}
      className={classes.scroll}
      style={maxHeight ? { maxHeight } : { height: "100%" }}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls is a tab stop, and its keys move the cursor
      tabIndex={0}
      aria-label={label}
      onKeyDown={onKeyDown}
    >
      <div style={{ height: rows.getTotalSize(), position: "relative" }}>
        {rows.getVirtualItems().map((row) => {
          const entry = entries[row.index] as LogEntry;
          const expanded = open.has(entry.id);
          return (
            <div
              key={row.key}
              ref={rows.measureElement}
              data-index={row.index}
              className={classes.row}
              data-open={expanded || undefined}
              data-cursor={entry.id === cursor || undefined}
              style={{ transform: `translateY(${row.start}px)` }}
            >
              <button
                type="button"
                tabIndex={-1}
                className={classes.line}
                data-wrap={wrap || undefined}
                aria-expanded={expanded}
                onClick={() => {
                  // Selecting text within a line is not a click on it.
                  if (window.getSelection()?.toString()) return;
                  setCursor(entry.id);
                  toggle(entry.id);
                }}
              >
                <span
                  className={classes.level}
                  style={{ background: levelColor(entry.level, scheme) }}
                  title={entry.level}
                />
                <time
                  className={classes.time}
                  dateTime={new Date(entry.ms).toISOString()}
                  title={`${formatDateTime(entry.ms, zone)} (${entry.nanos} ns)`}
                >
                  {formatClockMs(entry.ms, zone)}
                </time>
                {shownLabels.map((name) => (
                  <span key={name} className={classes.label} title={`${name}: ${entry.stream[name] ?? ""}`}>
                    {entry.stream[name] ?? ""}
                  </span>
                ))}
                <span className={classes.text}>{entry.line || " "}</span>
              </button>
              {expanded && <LogDetails entry={entry} onFilter={onFilter} />}
            </div>
          );
        })}
      </div>
    </section>
  );
}
