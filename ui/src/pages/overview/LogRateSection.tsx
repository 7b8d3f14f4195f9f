import { Skeleton, useComputedColorScheme } from "@mantine/core";
import { IconListSearch } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { queryLogMetric } from "../../api/loki";
import { useTime } from "../../app/time";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { type Scheme, seriesColor } from "../../lib/colors";
import { ALL_SERVICES, logRateQuery, streamSelector } from "../../lib/logql";
import { alignSeries } from "../../lib/series";
import { alignRange, stepSeconds } from "../../lib/time";
import { formatCount } from "../../lib/units";
import classes from "./LogRateSection.module.css";

const POINTS = 60;
const SHOWN = 8;

/** How many lines each service writes. */
export function LogRateSection() {
  const { range, setRange } = useTime();
  const navigate = useNavigate();
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const [highlighted, setHighlighted] = useState<string>();
  const step = Math.max(5, stepSeconds(range, POINTS));
  const { from, to } = alignRange(range, step);
  const rate = useQuery({
    queryKey: ["log rate", from, to, step],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const series = await queryLogMetric(logRateQuery(step), { start: from, end: to }, step, signal);
      const totals = series.map((entry) => ({
        entry,
        total: entry.samples.reduce((sum, [, value]) => sum + value, 0),
      }));
      totals.sort((a, b) => b.total - a.total);
      return {
        names: totals.map(({ entry }) => entry.labels.service_name ?? "unknown"),
        totals: totals.map(({ total }) => total),
        frame: alignSeries(
          totals.map(({ entry }) => entry),
          from / 1000,
          to / 1000,
          step,
        ),
        step,
      };
    },
  });
  const series = useMemo((): ChartSeries[] => {
    if (!rate.data) return [];
    const { names, frame } = rate.data;
    return names.slice(0, SHOWN).map((name, index) => ({
      name,
      color: seriesColor(index, scheme),
      values: (frame.columns[index] ?? []).map((value) => (value ?? 0) / rate.data.step),
    }));
  }, [rate.data, scheme]);

  return (
    <Panel
      title="Log rate"
      note="lines per second by service"
      aside={
        <TextLink to="/explore/logs" search={{ expr: ALL_SERVICES }} size="xs">
          All logs
        </TextLink>
      }
    >
      {rate.error ? (
        <QueryError error={rate.error} what="The log rate" />
      ) : rate.isPending ? (
        <Skeleton h={200} />
      ) : series.length === 0 ? (
        <EmptyState icon={IconListSearch} title="No log lines in this range" height={200}>
          Container logs are read once a cluster is given; on a plain host name files with <code>--log-file</code>, or
          send logs by OTLP.
        </EmptyState>
      ) : (
        <>
          <TimeChart
            times={rate.data.frame.times}
            series={series}
            unit="perSecond"
            height={150}
            label="Log lines per second by service"
            highlighted={highlighted}
            onZoom={(start, end) => setRange({ from: String(Math.round(start)), to: String(Math.round(end)) })}
          />
          <ul className={classes.legend}>
            {series.map((entry, index) => (
              <li key={entry.name}>
                <button
                  type="button"
                  className={classes.item}
                  onMouseEnter={() => setHighlighted(entry.name)}
                  onMouseLeave={() => setHighlighted(undefined)}
                  onClick={() =>
                    void navigate({
                      to: "/explore/logs",
                      search: { expr: streamSelector([{ label: "service_name", op: "=", value: entry.name }]) },
                    })
                  }
                >
                  <span className={classes.swatch} style={{ background: entry.color }} />
                  {entry.name}
                  <span className={classes.total}>{formatCount(rate.data.totals[index] ?? 0)}</span>
                </button>
              </li>
            ))}
            {rate.data.names.length > SHOWN && (
              <li className={classes.total}>and {rate.data.names.length - SHOWN} more</li>
            )}
          </ul>
        </>
      )}
    </Panel>
  );
}
