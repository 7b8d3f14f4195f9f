import { SegmentedControl, Skeleton, Text, useComputedColorScheme } from "@mantine/core";
import { IconChartAreaLine } from "@tabler/icons-react";
import { useMemo, useState } from "react";
import { usePromRange, usePromRangeParts, useScrapeInterval } from "../../api/hooks";
import { useTime } from "../../app/time";
import type { ChartMark, ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { EmptyState } from "../../components/EmptyState";
import { outcomeColor } from "../../components/OutcomeBadge";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { type Scheme, seriesColor } from "../../lib/colors";
import { acted, type DecisionRecord } from "../../lib/decision";
import { COUNTED_BY, type CountedBy, fleetQueries, formatMoney } from "../../lib/fleet";
import { summarize } from "../../lib/series";
import { stepSeconds } from "../../lib/time";
import { formatCount } from "../../lib/units";
import classes from "./NodesPage.module.css";

const POINTS = 300;
const SYNC = "fleet";
const AXIS = 56;
const EMPTY: number[] = [];
const UNNAMED: Record<CountedBy, string> = {
  policy: "no policy",
  target_zone: "no zone",
  capacity_type: "no capacity type",
  phase: "no phase",
};

interface FleetChartsProps {
  by: CountedBy;
  onBy: (by: CountedBy | undefined) => void;
  records?: DecisionRecord[];
}

/** The fleet over time: how many nodes of what kind, what they cost against the least they could, and who waits. */
export function FleetCharts({ by, onBy, records }: FleetChartsProps) {
  const { range, setRange } = useTime();
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const [highlighted, setHighlighted] = useState<string>();
  const interval = useScrapeInterval("yagura_autoscaler_fleet_cost_lower_bound");
  // Two exports and a half: one may be late.
  const window = Math.max(Math.ceil((interval ?? 60) * 2.5), stepSeconds(range, POINTS));
  const queries = useMemo(() => fleetQueries(by, window), [by, window]);
  const enabled = interval !== undefined;
  const counts = usePromRange(queries.nodes, { points: POINTS, enabled });
  const money = usePromRangeParts(() => ({ cost: queries.cost, bound: queries.bound, pending: queries.pending }), {
    points: POINTS,
    enabled,
  });
  const stack = useMemo((): ChartSeries[] => {
    if (!counts.data) return [];
    const { series, frame } = counts.data;
    return series
      .map((entry, index) => ({ name: entry.labels[by] || UNNAMED[by], values: frame.columns[index] ?? [] }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((entry, index) => ({ ...entry, color: seriesColor(index, scheme), fill: true, stepped: true, width: 1 }));
  }, [counts.data, by, scheme]);
  const marks = useMemo(
    (): ChartMark[] =>
      (records ?? [])
        .filter((record) => acted(record) || record.outcome === "Failed")
        .map((record) => ({ ms: record.ms, color: outcomeColor(record.outcome, scheme) })),
    [records, scheme],
  );
  const shared = {
    syncKey: SYNC,
    axisWidth: AXIS,
    marks: marks.length > 40 ? undefined : marks,
    onZoom: (from: number, to: number) => setRange({ from: String(Math.round(from)), to: String(Math.round(to)) }),
  };
  const cost = money.parts.get("cost");
  const bound = money.parts.get("bound");
  const pending = money.parts.get("pending");
  const costs = useMemo(
    (): ChartSeries[] => [
      { name: "cost per hour", color: seriesColor(0, scheme), values: cost ?? EMPTY, fill: true, stepped: true },
      { name: "lower bound", color: seriesColor(2, scheme), values: bound ?? EMPTY, dashed: true, stepped: true },
    ],
    [cost, bound, scheme],
  );
  const waiting = useMemo(
    (): ChartSeries[] => [
      {
        name: "pods without a node",
        color: seriesColor(4, scheme),
        values: pending ?? EMPTY,
        fill: true,
        stepped: true,
      },
    ],
    [pending, scheme],
  );
  const times = money.data?.frame.times ?? EMPTY;

  if (counts.data && counts.data.series.length === 0 && money.parts.size === 0)
    return (
      <Panel title="The fleet over time">
        <EmptyState icon={IconChartAreaLine} title="No fleet was reported in this range" height={140}>
          The autoscaler that leads exports <code>yagura_autoscaler_fleet_*</code>. Choose another range to see older
          times.
        </EmptyState>
      </Panel>
    );
  return (
    <div className={classes.charts}>
      <Panel
        title="The fleet over time"
        note="nodes"
        aside={
          <TextLink to="/explore/metrics" search={{ expr: queries.nodes }} size="xs">
            Explore
          </TextLink>
        }
      >
        <SegmentedControl
          size="xs"
          mb={6}
          className={classes.by}
          aria-label="Count nodes by"
          data={Object.entries(COUNTED_BY).map(([value, label]) => ({ value, label }))}
          value={by}
          onChange={(next) => onBy(next === "policy" ? undefined : (next as CountedBy))}
        />
        {counts.error && !counts.data ? (
          <QueryError error={counts.error} what="The fleet's series" />
        ) : !counts.data ? (
          <Skeleton h={236} />
        ) : (
          <>
            <TimeChart
              {...shared}
              times={counts.data.frame.times}
              series={stack}
              unit="number"
              height={200}
              stacked
              wholeNumbers
              highlighted={highlighted}
              label={`Nodes over time by ${COUNTED_BY[by].toLowerCase()}`}
            />
            <ul className={classes.legend}>
              {stack.map((entry) => (
                <li
                  key={entry.name}
                  onMouseEnter={() => setHighlighted(entry.name)}
                  onMouseLeave={() => setHighlighted(undefined)}
                >
                  <span className={classes.swatch} style={{ background: entry.color }} />
                  {entry.name} <b className="num">{formatCount(entry.values.at(-1) ?? 0)}</b>
                </li>
              ))}
            </ul>
          </>
        )}
      </Panel>
      <Panel title="Cost and pods that wait" note="per hour, with the least that it could be">
        {money.error && !money.data ? (
          <QueryError error={money.error} what="The fleet's series" />
        ) : !money.data ? (
          <Skeleton h={236} />
        ) : (
          <>
            <TimeChart
              {...shared}
              times={times}
              series={costs}
              unit="number"
              height={154}
              hideTimeAxis
              format={formatMoney}
              label="Cost per hour of all nodes and its lower bound over time"
            />
            <ul className={classes.legend}>
              {costs.map((entry) => (
                <li key={entry.name}>
                  <span
                    className={classes.line}
                    data-dashed={entry.dashed || undefined}
                    style={{ color: entry.color }}
                  />
                  {entry.name} <b className="num">{formatMoney(summarize(entry.values).last)}</b>
                </li>
              ))}
            </ul>
            <Text size="xs" c="dimmed" mt={4}>
              Pods without a node
            </Text>
            <TimeChart
              {...shared}
              times={times}
              series={waiting}
              unit="number"
              height={86}
              wholeNumbers
              label="Pods without a node over time"
            />
          </>
        )}
      </Panel>
    </div>
  );
}
