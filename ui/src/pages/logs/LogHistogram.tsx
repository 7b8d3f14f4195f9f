import { Skeleton, useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";
import { useTime } from "../../app/time";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { type Level, levelColor, type Scheme } from "../../lib/colors";
import { toLevel } from "../../lib/logs";
import { formatPromDuration } from "../../lib/promql";
import { formatInteger } from "../../lib/units";
import classes from "./LogHistogram.module.css";
import { useHistogram } from "./useLogs";

const HEIGHT = 96;
const ORDER: Level[] = ["error", "warn", "info", "debug", "trace", "unknown"];

/** Lines per step over the range, by severity where senders gave one. Dragging over it zooms in. */
export function LogHistogram({ expr, enabled }: { expr: string; enabled: boolean }) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const { setRange } = useTime();
  const histogram = useHistogram(expr, enabled);
  const found = histogram.data;
  const { series, totals } = useMemo(() => {
    const columns = new Map<Level, (number | null)[]>();
    found?.labels.forEach((labels, index) => {
      const level = toLevel(labels.severity_text);
      const column = found.frame.columns[index] ?? [];
      const before = columns.get(level);
      columns.set(level, before ? before.map((value, at) => (value ?? 0) + (column[at] ?? 0)) : column);
    });
    const present = ORDER.filter((level) => columns.has(level));
    return {
      totals: present.map((level) => ({
        level,
        total: (columns.get(level) ?? []).reduce<number>((sum, value) => sum + (value ?? 0), 0),
      })),
      // The last series stands on the ground: errors, whose number is read off the axis.
      series: present.toReversed().map(
        (level): ChartSeries => ({
          name: level === "unknown" ? "lines" : level,
          color: levelColor(level, scheme),
          values: columns.get(level) ?? [],
          bars: true,
        }),
      ),
    };
  }, [found, scheme]);
  if (histogram.isPending && enabled) return <Skeleton h={HEIGHT + 22} />;
  // What is wrong with the query is said under it.
  if (histogram.error || !found) return <div style={{ height: HEIGHT + 22 }} />;
  return (
    <div>
      <div className={classes.head}>
        {totals.map(({ level, total }) => (
          <span key={level} className={classes.total}>
            <span className={classes.swatch} style={{ background: levelColor(level, scheme) }} />
            {level === "unknown" ? "lines" : level} <b>{formatInteger(total)}</b>
          </span>
        ))}
        <span className={classes.step}>per {formatPromDuration(found.step)}</span>
      </div>
      <TimeChart
        times={found.frame.times}
        end={found.end}
        series={series}
        stacked
        unit="number"
        height={HEIGHT}
        axisWidth={44}
        label="Number of log lines over the range"
        onZoom={(from, to) => setRange({ from: String(Math.round(from)), to: String(Math.round(to)) })}
      />
    </div>
  );
}
