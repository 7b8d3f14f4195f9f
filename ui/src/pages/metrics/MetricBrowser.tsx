import { Skeleton, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useMemo, useRef, useState } from "react";
import { useLabelValues, useMetadata } from "../../api/hooks";
import type { Metadata } from "../../api/prometheus";
import { QueryError } from "../../components/QueryError";
import { familyName, type MetricKind, metricKind } from "../../lib/promql";
import classes from "./MetricBrowser.module.css";

export interface MetricInfo {
  kind: MetricKind;
  help: string;
}

export function metricInfo(name: string, all: Metadata | undefined): MetricInfo {
  const found = all?.[name]?.[0] ?? all?.[familyName(name)]?.[0];
  return { kind: metricKind(name, found?.type), help: found?.help ?? "" };
}

const ROW = 30;
const MARK: Record<MetricKind, string> = { counter: "C", gauge: "G", histogram: "H", summary: "S", unknown: "·" };

interface MetricBrowserProps {
  selected?: string;
  onSelect: (metric: string) => void;
  onPreview?: (metric: string) => void;
}

/** Every metric name of the range, searchable by words in any order, in the name or in the help text. */
export function MetricBrowser({ selected, onSelect }: MetricBrowserProps) {
  const [find, setFind] = useState("");
  const [cursor, setCursor] = useState(-1);
  const names = useLabelValues("__name__");
  const meta = useMetadata();
  const scroller = useRef<HTMLDivElement>(null);

  const found = useMemo(() => {
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const all = names.data ?? [];
    if (words.length === 0) return all;
    const inName = all.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    const seen = new Set(inName);
    const inHelp = all.filter(
      (name) =>
        !seen.has(name) &&
        words.every((word) => `${name} ${metricInfo(name, meta.data).help}`.toLowerCase().includes(word)),
    );
    return [...inName, ...inHelp];
  }, [names.data, meta.data, find]);

  const rows = useVirtualizer({
    count: found.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW,
    overscan: 12,
  });

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = Math.max(0, Math.min(found.length - 1, cursor + (event.key === "ArrowDown" ? 1 : -1)));
      setCursor(next);
      rows.scrollToIndex(next);
    } else if (event.key === "Enter") {
      const name = found[Math.max(0, cursor)];
      if (name) onSelect(name);
    }
  };

  return (
    <div className={classes.browser}>
      <TextInput
        aria-label="Find a metric"
        placeholder="Find a metric  /"
        leftSection={<IconSearch size={15} aria-hidden />}
        value={find}
        onChange={(event) => {
          setFind(event.currentTarget.value);
          setCursor(-1);
        }}
        onKeyDown={onKeyDown}
        data-page-filter
        role="combobox"
        aria-expanded
        aria-controls="metric-names"
        aria-activedescendant={cursor >= 0 ? `metric-${cursor}` : undefined}
      />
      <Text size="xs" c="dimmed" px={4} py={4} className="num">
        {names.data ? (find ? `${found.length} of ${names.data.length} metrics` : `${names.data.length} metrics`) : "…"}
      </Text>
      {names.error ? (
        <QueryError error={names.error} what="The metric names" />
      ) : names.isPending ? (
        [0, 1, 2, 3, 4, 5].map((row) => <Skeleton key={row} h={18} my={6} />)
      ) : (
        <div ref={scroller} className={classes.scroll}>
          <div
            id="metric-names"
            role="listbox"
            aria-label="Metrics"
            style={{ height: rows.getTotalSize(), position: "relative" }}
          >
            {rows.getVirtualItems().map((row) => {
              const name = found[row.index] as string;
              const info = metricInfo(name, meta.data);
              return (
                <div
                  key={name}
                  id={`metric-${row.index}`}
                  role="option"
                  tabIndex={-1}
                  aria-selected={name === selected}
                  aria-posinset={row.index + 1}
                  aria-setsize={found.length}
                  data-cursor={row.index === cursor || undefined}
                  className={classes.row}
                  style={{ transform: `translateY(${row.start}px)`, height: ROW }}
                  title={info.help ? `${name}\n${info.help}` : name}
                  onClick={() => onSelect(name)}
                  onKeyDown={(event) => event.key === "Enter" && onSelect(name)}
                >
                  <span className={classes.kind} data-kind={info.kind} title={info.kind}>
                    {MARK[info.kind]}
                  </span>
                  <span className={classes.name}>
                    <bdi>{name}</bdi>
                  </span>
                </div>
              );
            })}
          </div>
        </div>
      )}
    </div>
  );
}
