import { useMemo } from "react";
import { useMetadata, useScrapeInterval } from "../../api/hooks";
import type { MetricsSearch } from "../../app/search";
import { useTime } from "../../app/time";
import {
  type Aggregation,
  type BuilderState,
  buildPromQL,
  decodeFilters,
  type MetricKind,
  rateWindow,
  selector,
} from "../../lib/promql";
import { stepSeconds } from "../../lib/time";
import { metricInfo } from "./MetricBrowser";

const AGGREGATIONS: Aggregation[] = ["none", "sum", "avg", "max", "min", "count"];

export interface MetricQuery {
  /** What is asked: written by hand, or built. */
  expr: string;
  byHand: boolean;
  state: BuilderState;
  kind: MetricKind;
  help: string;
  /** The step of the chart's query, in seconds. */
  step: number;
}

export const CHART_POINTS = 400;

/** The query that the URL describes. */
export function useMetricQuery(search: MetricsSearch): MetricQuery {
  const { range } = useTime();
  const meta = useMetadata();
  const metric = search.metric ?? "";
  const info = metricInfo(metric, meta.data);
  const filters = useMemo(() => decodeFilters(search.filters), [search.filters]);
  const interval = useScrapeInterval(search.expr === undefined && metric !== "" ? selector(metric, filters) : "");
  const step = stepSeconds(range, CHART_POINTS);
  const aggregation = AGGREGATIONS.find((name) => name === search.agg) ?? (info.kind === "histogram" ? "sum" : "none");
  const quantile = Number(search.quantile);
  const state: BuilderState = {
    metric,
    filters,
    aggregation,
    by: search.by ? search.by.split(",").filter(Boolean) : [],
    quantile: quantile > 0 && quantile < 1 ? quantile : undefined,
  };
  // Without the interval the window would be a guess, and the chart would jump when it becomes known.
  const known = info.kind === "gauge" || info.kind === "unknown" || interval !== undefined;
  const built = known ? buildPromQL(state, info.kind, rateWindow(interval ?? 15, step)) : "";
  return {
    expr: search.expr ?? built,
    byHand: search.expr !== undefined,
    state,
    kind: info.kind,
    help: info.help,
    step,
  };
}
