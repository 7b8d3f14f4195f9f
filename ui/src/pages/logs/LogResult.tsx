import { Anchor, Skeleton } from "@mantine/core";
import { IconListSearch } from "@tabler/icons-react";
import { useMemo } from "react";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import type { LogEntry } from "../../lib/logs";
import { distinguishingLabels } from "../../lib/series";
import { formatDateTime } from "../../lib/time";
import { formatInteger } from "../../lib/units";
import { LogList } from "./LogList";
import classes from "./LogsPage.module.css";

interface LogResultProps {
  entries: LogEntry[];
  pending: boolean;
  failed: boolean;
  full: boolean;
  live: boolean;
  skipped: boolean;
  direction: "backward" | "forward";
  limit: number;
  wrap: boolean;
  onFilter: (name: string, value: string, include: boolean, entry: LogEntry) => void;
}

// More columns leave no room for the line.
const MAX_LABELS = 2;

/** The lines with what is known about the answer as a whole. */
export function LogResult({
  entries,
  pending,
  failed,
  full,
  live,
  skipped,
  direction,
  limit,
  wrap,
  onFilter,
}: LogResultProps) {
  const { zone, range, setRange } = useTime();
  const shownLabels = useMemo(() => {
    const streams = new Map(entries.map((entry) => [JSON.stringify(entry.stream), entry.stream]));
    const all = distinguishingLabels([...streams.values()]);
    // A service says enough, and leaves more room for the line.
    return all.includes("service_name")
      ? ["service_name"]
      : all.filter((name) => name !== "cluster").slice(0, MAX_LABELS);
  }, [entries]);

  if (pending && !failed) {
    return (
      <div style={{ padding: "8px 14px" }}>
        {[96, 80, 88, 60, 92, 75, 84].map((width) => (
          <Skeleton key={width} h={14} my={8} w={`${width}%`} />
        ))}
      </div>
    );
  }
  if (entries.length === 0) {
    if (failed) return null;
    return (
      <EmptyState
        icon={IconListSearch}
        title={live ? "Waiting for the next line…" : "No lines in this range"}
        height={200}
      >
        {live
          ? "Lines appear here within a second of their arrival."
          : "The query is sound, but nothing matches it between these two instants. A wider range or fewer filters may."}
      </EmptyState>
    );
  }
  const last = entries.at(-1) as LogEntry;
  return (
    <>
      <div className={classes.status}>
        <span className="num">{formatInteger(entries.length)} lines</span>
        {live && <span>asking every second</span>}
        {skipped && (
          <span className={classes.skipped}>Lines arrive faster than they can be shown; some are skipped.</span>
        )}
        {full && (
          <span>
            The limit of {limit} was reached at {formatDateTime(last.ms, zone)}.{" "}
            <Anchor
              component="button"
              type="button"
              size="xs"
              onClick={() =>
                direction === "backward"
                  ? setRange({ from: String(Math.round(range.from)), to: String(Math.ceil(last.ms)) })
                  : setRange({ from: String(Math.floor(last.ms)), to: String(Math.round(range.to)) })
              }
            >
              {direction === "backward" ? "Show older lines" : "Show newer lines"}
            </Anchor>
          </span>
        )}
      </div>
      <div className={classes.list}>
        <LogList entries={entries} wrap={wrap} shownLabels={shownLabels} onFilter={onFilter} label="Log lines" />
      </div>
    </>
  );
}
