import { Skeleton, useComputedColorScheme } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import { useMemo, useState } from "react";
import { useTime } from "../../app/time";
import { Legend } from "../../components/chart/Legend";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import { type Scheme, seriesColor } from "../../lib/colors";
import { seriesNames } from "../../lib/series";
import type { Unit } from "../../lib/units";
import type { useLogMetric } from "./useLogs";

const MAX_SERIES = 40;

interface LogMetricProps {
  expr: string;
  answer: ReturnType<typeof useLogMetric>["data"];
  pending: boolean;
  failed: boolean;
}

/** The answer of a LogQL metric query. */
export function LogMetric({ expr, answer, pending, failed }: LogMetricProps) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const { setRange } = useTime();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [highlighted, setHighlighted] = useState<string>();
  const series = useMemo((): ChartSeries[] => {
    const shown = (answer?.series ?? []).slice(0, MAX_SERIES);
    const names = seriesNames(
      shown.map((entry) => entry.labels),
      "result",
    );
    return shown.map((_, index) => ({
      name: names[index] as string,
      color: seriesColor(index, scheme),
      values: answer?.frame.columns[index] ?? [],
      hidden: hidden.has(names[index] as string),
    }));
  }, [answer, scheme, hidden]);
  if (failed) return null;
  const unit: Unit = /\bbytes_rate\b/.test(expr)
    ? "bytesPerSecond"
    : /\bbytes_over_time\b/.test(expr)
      ? "bytes"
      : /\brate\b/.test(expr)
        ? "perSecond"
        : "number";
  return (
    <Panel label="Result">
      {pending ? (
        <Skeleton h={320} />
      ) : series.length === 0 || !answer ? (
        <EmptyState icon={IconChartLine} title="No samples in this range" height={320}>
          No line in this range matches the query.
        </EmptyState>
      ) : (
        <>
          <TimeChart
            times={answer.frame.times}
            series={series}
            unit={unit}
            height={320}
            label={`Chart of ${expr}`}
            highlighted={highlighted}
            onZoom={(from, to) => setRange({ from: String(Math.round(from)), to: String(Math.round(to)) })}
          />
          <Legend
            series={series}
            unit={unit}
            onHighlight={setHighlighted}
            onToggle={(name) =>
              setHidden((before) => {
                const next = new Set(before);
                if (!next.delete(name)) next.add(name);
                return next;
              })
            }
          />
        </>
      )}
    </Panel>
  );
}
