import { Anchor, Group, MultiSelect, Select, Skeleton, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { useCoarseRange, useLabelNames, usePromRange } from "../../api/hooks";
import { labelNames, labelValues } from "../../api/prometheus";
import type { MetricsSearch } from "../../app/search";
import { FilterBar, type FilterNames } from "../../components/FilterBar";
import { Panel } from "../../components/Panel";
import { encodeFilters, selector } from "../../lib/promql";
import classes from "./MetricsPage.module.css";
import { CHART_POINTS, type MetricQuery } from "./useMetricQuery";

const PromqlField = lazy(() => import("./PromqlField"));

/** What is asked: picked by label, or written in PromQL. Both are always visible, so that one teaches the other. */
export function QueryBuilder({ search, query }: { search: MetricsSearch; query: MetricQuery }) {
  const navigate = useNavigate({ from: "/explore/metrics" });
  const change = (next: Partial<MetricsSearch>) => void navigate({ search: (previous) => ({ ...previous, ...next }) });
  const answer = usePromRange(query.expr, { points: CHART_POINTS });
  return (
    <Panel label="Query">
      {search.metric && !query.byHand && (
        <>
          {query.help && <div className={classes.help}>{query.help}</div>}
          <Controls search={search} query={query} onChange={change} />
        </>
      )}
      {query.byHand && (
        <Group gap="xs" mb={8}>
          <Text size="sm" c="dimmed">
            Written by hand.
          </Text>
          {search.metric && (
            <Anchor component="button" type="button" size="sm" onClick={() => change({ expr: undefined })}>
              Back to {search.metric}
            </Anchor>
          )}
        </Group>
      )}
      <Suspense fallback={<Skeleton h={40} />}>
        <PromqlField
          value={query.expr}
          busy={answer.isFetching && !answer.isPlaceholderData && answer.isPending}
          error={answer.error}
          warnings={answer.data?.warnings}
          onSubmit={(expr) => change({ expr: expr === "" ? undefined : expr })}
        />
      </Suspense>
    </Panel>
  );
}

function Controls({
  search,
  query,
  onChange,
}: {
  search: MetricsSearch;
  query: MetricQuery;
  onChange: (next: Partial<MetricsSearch>) => void;
}) {
  const { state, kind } = query;
  const labels =
    useLabelNames(selector(state.metric, state.filters)).data?.filter(
      (label) => label !== "__name__" && label !== "le",
    ) ?? [];
  const histogram = kind === "histogram";
  const range = useCoarseRange();
  const names = useMemo((): FilterNames => {
    const match = selector(state.metric, []);
    return {
      id: `${match} ${range.from} ${range.to}`,
      labels: async (signal) => (await labelNames(match, range, signal)).filter((label) => label !== "__name__"),
      values: (label, signal) => labelValues(label, match, range, signal),
    };
  }, [state.metric, range]);
  return (
    <Group gap="md" mb={10} mt={query.help ? 8 : 0}>
      <FilterBar
        filters={state.filters}
        onChange={(filters) => onChange({ filters: encodeFilters(filters) })}
        names={names}
      />
      <Group gap="xs" ml="auto">
        {histogram ? (
          <Select
            size="xs"
            w={130}
            aria-label="Quantile"
            data={[
              { value: "0.5", label: "median" },
              { value: "0.9", label: "90th percentile" },
              { value: "0.95", label: "95th percentile" },
              { value: "0.99", label: "99th percentile" },
            ]}
            value={search.quantile ?? "0.95"}
            allowDeselect={false}
            onChange={(next) => onChange({ quantile: next ?? undefined })}
          />
        ) : (
          <Select
            size="xs"
            w={110}
            aria-label="Aggregation"
            data={[{ value: "none", label: "each series" }, "sum", "avg", "max", "min", "count"]}
            value={state.aggregation}
            allowDeselect={false}
            onChange={(next) =>
              onChange({
                agg: next === "none" ? undefined : (next ?? undefined),
                by: next === "none" ? undefined : search.by,
              })
            }
          />
        )}
        {(histogram || state.aggregation !== "none") && (
          <MultiSelect
            size="xs"
            miw={150}
            maw={320}
            aria-label="Group by"
            placeholder={state.by.length === 0 ? "by label…" : undefined}
            data={[...new Set([...labels, ...state.by])]}
            value={state.by}
            searchable
            onChange={(next) => onChange({ by: next.length > 0 ? next.join(",") : undefined })}
          />
        )}
      </Group>
    </Group>
  );
}
