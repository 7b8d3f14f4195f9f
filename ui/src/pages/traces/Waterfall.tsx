import { useComputedColorScheme } from "@mantine/core";
import { IconAlertCircleFilled, IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { useServiceColors } from "../../api/services";
import { levelColor, type Scheme } from "../../lib/colors";
import type { LogEntry } from "../../lib/logs";
import { criticalPath, placeSpan, type SpanNode, type TraceModel, visibleRows } from "../../lib/trace";
import { formatInteger, formatSeconds } from "../../lib/units";
import classes from "./Waterfall.module.css";

interface WaterfallProps {
  model: TraceModel;
  selected?: string;
  onSelect: (spanId: string | undefined) => void;
  logs: LogEntry[];
}

const ROW = 26;
const INDENT = 12;
// Deeper spans are indented no further, or their names would leave the column.
const MAX_INDENT = 14;

/**
 * Spans as rows over time. Only the rows in view exist, so that ten thousand spans scroll as one does.
 * ↑ ↓ move, ← → fold and unfold, Enter opens, Esc closes.
 */
export function Waterfall({ model, selected, onSelect, logs }: WaterfallProps) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const names = useMemo(() => model.services.map((service) => service.name), [model]);
  const colorOf = useServiceColors(names);
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set());
  const scroller = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => visibleRows(model, collapsed), [model, collapsed]);
  const critical = useMemo(() => {
    const ids = new Set<string>();
    for (const root of model.roots) for (const id of criticalPath(root)) ids.add(id);
    return ids;
  }, [model]);
  const logsBySpan = useMemo(() => {
    const found = new Map<string, LogEntry[]>();
    for (const entry of logs) {
      const id = entry.metadata.span_id;
      if (id) found.set(id, [...(found.get(id) ?? []), entry]);
    }
    return found;
  }, [logs]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 16,
  });

  const index = rows.findIndex((node) => node.span.spanId === selected);
  // A link to a span shows the span.
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) return;
    first.current = false;
    if (index > 0) virtual.scrollToIndex(index, { align: "center" });
  }, [index, virtual]);

  const fold = (node: SpanNode, closed: boolean) =>
    setCollapsed((before) => {
      const next = new Set(before);
      if (closed) next.add(node.span.spanId);
      else next.delete(node.span.spanId);
      return next;
    });

  const move = (to: number) => {
    const next = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (!next) return;
    onSelect(next.span.spanId);
    virtual.scrollToIndex(rows.indexOf(next), { align: "auto" });
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const node = rows[index];
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? ROW) / ROW) - 1);
    switch (event.key) {
      case "ArrowDown":
        move(index + 1);
        break;
      case "ArrowUp":
        move(index < 0 ? 0 : index - 1);
        break;
      case "PageDown":
        move(index + page);
        break;
      case "PageUp":
        move(index - page);
        break;
      case "Home":
        move(0);
        break;
      case "End":
        move(rows.length - 1);
        break;
      case "ArrowLeft":
        if (!node) return;
        if (node.children.length > 0 && !collapsed.has(node.span.spanId)) fold(node, true);
        else move(rows.findIndex((row) => row.span.spanId === node.span.parentId));
        break;
      case "ArrowRight":
        if (!node) return;
        if (collapsed.has(node.span.spanId)) fold(node, false);
        else if (node.children.length > 0) move(index + 1);
        break;
      case "Escape":
        onSelect(undefined);
        break;
      default:
        return;
    }
    event.preventDefault();
  };

  return (
    <div className={classes.waterfall}>
      <div className={classes.ruler} aria-hidden>
        <span className={classes.rulerName}>Service and operation</span>
        <div className={classes.ticks}>
          {[0, 0.25, 0.5, 0.75, 1].map((share) => (
            <span key={share} style={share === 1 ? { right: 0 } : { left: `${share * 100}%` }}>
              {formatSeconds((share * (model.end - model.start)) / 1e6)}
            </span>
          ))}
        </div>
      </div>
      <div
        ref={scroller}
        className={classes.scroll}
        role="tree"
        aria-label="Spans"
        tabIndex={0}
        aria-activedescendant={selected ? `span-${selected}` : undefined}
        onKeyDown={onKeyDown}
      >
        <div style={{ height: virtual.getTotalSize(), position: "relative" }} role="presentation">
          {virtual.getVirtualItems().map((item) => {
            const node = rows[item.index] as SpanNode;
            const id = node.span.spanId;
            return (
              <Row
                key={id}
                node={node}
                model={model}
                top={item.start}
                color={colorOf(node.span.service)}
                selected={id === selected}
                folded={collapsed.has(id)}
                critical={critical.has(id)}
                logs={logsBySpan.get(id)}
                scheme={scheme}
                onSelect={() => onSelect(id === selected ? undefined : id)}
                onFold={(closed) => fold(node, closed)}
              />
            );
          })}
        </div>
      </div>
      <div className={classes.legend}>
        {model.services.map((service) => (
          <span key={service.name} className={classes.chip}>
            <span className={classes.dot} style={{ background: colorOf(service.name) }} />
            {service.name} {formatInteger(service.spans)}
          </span>
        ))}
        <span className={classes.chip}>
          <span className={classes.criticalKey} /> critical path
        </span>
        {logs.length > 0 && (
          <span className={classes.chip}>
            <span className={classes.logKey} /> log line
          </span>
        )}
      </div>
    </div>
  );
}

interface RowProps {
  node: SpanNode;
  model: TraceModel;
  top: number;
  color: string;
  selected: boolean;
  folded: boolean;
  critical: boolean;
  logs?: LogEntry[];
  scheme: Scheme;
  onSelect: () => void;
  onFold: (closed: boolean) => void;
}

function Row({ node, model, top, color, selected, folded, critical, logs, scheme, onSelect, onFold }: RowProps) {
  const { span } = node;
  const place = placeSpan(span, model.start, model.end);
  const endsLate = place.left + place.width > 85;
  const total = Math.max(1, model.end - model.start);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: keys act on the tree, which holds the focus
    <div
      id={`span-${span.spanId}`}
      role="treeitem"
      tabIndex={-1}
      aria-level={node.depth + 1}
      aria-selected={selected}
      aria-expanded={node.children.length > 0 ? !folded : undefined}
      className={classes.row}
      style={{ transform: `translateY(${top}px)`, height: ROW }}
      onClick={onSelect}
    >
      <div className={classes.name} style={{ paddingLeft: 6 + Math.min(node.depth, MAX_INDENT) * INDENT }}>
        {node.children.length > 0 ? (
          <button
            type="button"
            tabIndex={-1}
            className={classes.fold}
            aria-label={folded ? "Unfold" : "Fold"}
            onClick={(event) => {
              event.stopPropagation();
              onFold(!folded);
            }}
          >
            {folded ? <IconChevronRight size={14} /> : <IconChevronDown size={14} />}
          </button>
        ) : (
          <span className={classes.fold} />
        )}
        <span className={classes.service} style={{ borderColor: color }}>
          {span.service}
        </span>
        {span.error && <IconAlertCircleFilled size={14} className={classes.error} aria-label="error" />}
        <span className={classes.operation} title={`${span.service} ${span.name}`}>
          {span.name}
        </span>
        {folded && <span className={classes.count}>+{node.descendants}</span>}
      </div>
      <div className={classes.lane}>
        <div
          className={classes.bar}
          data-error={span.error || undefined}
          data-critical={critical || undefined}
          style={{ left: `${place.left}%`, width: `${place.width}%`, background: color }}
        />
        {logs?.map((entry) => {
          const at = ((Number(entry.nanos) / 1000 - model.start) / total) * 100;
          if (at < -0.5 || at > 100.5) return null;
          return (
            <span
              key={entry.id}
              className={classes.log}
              style={{ left: `${Math.min(99.8, Math.max(0, at))}%`, background: levelColor(entry.level, scheme) }}
              title={entry.line}
            />
          );
        })}
        <span
          className={classes.duration}
          style={
            endsLate
              ? { right: `calc(${100 - place.left}% + 6px)` }
              : { left: `calc(${place.left + place.width}% + 6px)` }
          }
        >
          {formatSeconds(span.duration / 1e6)}
        </span>
      </div>
    </div>
  );
}
