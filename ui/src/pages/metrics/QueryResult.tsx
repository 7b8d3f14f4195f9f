import { Skeleton, Tabs, Text, useComputedColorScheme } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import { useMemo, useState } from "react";
import { usePromRange } from "../../api/hooks";
import { useTime } from "../../app/time";
import { Legend } from "../../components/chart/Legend";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import { type Scheme, seriesColor } from "../../lib/colors";
import { formatPromDuration, unitOfQuery } from "../../lib/promql";
import { largest, seriesNames } from "../../lib/series";
import { LatestTable } from "./LatestTable";
import { CHART_POINTS } from "./useMetricQuery";

const MAX_SERIES = 60;

/** The answer: lines over the range, and the newest value of each series. */
export function QueryResult({ expr, hasMetric }: { expr: string; hasMetric: boolean }) {
  const [tab, setTab] = useState<string | null>("chart");
  const answer = usePromRange(expr, { points: CHART_POINTS });
  if (expr === "") {
    return (
      <Panel>
        {hasMetric ? (
          <Skeleton h={320} />
        ) : (
          <EmptyState icon={IconChartLine} title="Pick a metric on the left" height={320}>
            or write a query above. Counters are shown as rates by themselves.
          </EmptyState>
        )}
      </Panel>
    );
  }
  if (answer.error && !answer.data) return null; // Shown under the query, where it can be mended.
  const count = answer.data?.series.length ?? 0;
  return (
    <Panel flush label="Result">
      <Tabs value={tab} onChange={setTab} keepMounted={false} px="sm">
        <Tabs.List>
          <Tabs.Tab value="chart">Chart</Tabs.Tab>
          <Tabs.Tab value="table">Latest values</Tabs.Tab>
          <Text size="xs" c="dimmed" ml="auto" my="auto" className="num">
            {answer.data ? `${count} series, one point each ${formatPromDuration(answer.data.step)}` : ""}
          </Text>
        </Tabs.List>
        <Tabs.Panel value="chart" py="sm">
          {answer.isPending ? <Skeleton h={320} /> : <Chart answer={answer.data} expr={expr} />}
        </Tabs.Panel>
        <Tabs.Panel value="table" py="sm">
          <LatestTable expr={expr} />
        </Tabs.Panel>
      </Tabs>
    </Panel>
  );
}

type Answer = NonNullable<ReturnType<typeof usePromRange>["data"]>;

function Chart({ answer, expr }: { answer: Answer | undefined; expr: string }) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const { setRange } = useTime();
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const [highlighted, setHighlighted] = useState<string>();
  const unit = unitOfQuery(expr);
  const series = useMemo((): ChartSeries[] => {
    if (!answer) return [];
    const columns = answer.frame.columns;
    const shown = largest(columns, MAX_SERIES).map((index) => ({ ...answer.series[index], values: columns[index] }));
    const names = seriesNames(
      shown.map((entry) => entry.labels ?? {}),
      "result",
    );
    return shown.map((entry, index) => ({
      name: names[index] as string,
      color: seriesColor(index, scheme),
      values: entry.values ?? [],
      fill: shown.length === 1,
      hidden: hidden.has(names[index] as string),
    }));
  }, [answer, scheme, hidden]);

  if (!answer || series.length === 0) {
    return (
      <EmptyState icon={IconChartLine} title="No samples in this range" height={320}>
        The query is sound, but nothing matches it between these two instants. A wider range or fewer filters may.
      </EmptyState>
    );
  }
  const toggle = (name: string, only: boolean) => {
    setHidden((before) => {
      if (only) {
        const others = series.map((entry) => entry.name).filter((other) => other !== name);
        const alone = others.every((other) => before.has(other)) && !before.has(name);
        return new Set(alone ? [] : others);
      }
      const next = new Set(before);
      if (!next.delete(name)) next.add(name);
      return next;
    });
  };
  return (
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
      {answer.series.length > MAX_SERIES && (
        <Text size="sm" c="var(--text-warn)" mt="xs">
          Showing the {MAX_SERIES} largest of {answer.series.length} series. Filter, or sum by a label, to see all of
          them.
        </Text>
      )}
      <div style={{ marginTop: 8 }}>
        <Legend series={series} unit={unit} onToggle={toggle} onHighlight={setHighlighted} />
      </div>
    </>
  );
}
