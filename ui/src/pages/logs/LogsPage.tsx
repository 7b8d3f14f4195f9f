import { Button, Group, SegmentedControl, Select, Skeleton, Switch } from "@mantine/core";
import { IconPlayerPause, IconPlayerPlay } from "@tabler/icons-react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useMemo } from "react";
import { useCoarseRange } from "../../api/hooks";
import { type Direction, logLabels, logLabelValues } from "../../api/loki";
import type { LogsSearch } from "../../app/search";
import { useTime } from "../../app/time";
import { FilterBar, type FilterNames } from "../../components/FilterBar";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import {
  ALL_SERVICES,
  isMetricQuery,
  parseSelector,
  streamSelector,
  withFieldFilter,
  withMatcher,
} from "../../lib/logql";
import type { LogEntry } from "../../lib/logs";
import type { LabelFilter } from "../../lib/promql";
import { LogHistogram } from "./LogHistogram";
import { LogMetric } from "./LogMetric";
import { LogResult } from "./LogResult";
import classes from "./LogsPage.module.css";
import { useLines, useLive, useLogMetric, useStreamLabels } from "./useLogs";

const LogqlField = lazy(() => import("./LogqlField"));

const LIMITS = ["100", "500", "1000", "5000"];

/** Logs: a query, how much there is of it, and the lines. */
export function LogsPage() {
  const search = useSearch({ from: "/explore/logs" });
  const navigate = useNavigate({ from: "/explore/logs" });
  const change = (next: Partial<LogsSearch>) => void navigate({ search: (previous) => ({ ...previous, ...next }) });
  const { refreshNow } = useTime();

  const expr = search.expr ?? ALL_SERVICES;
  const metric = isMetricQuery(expr);
  const live = search.live === "true" && !metric;
  const direction: Direction = search.direction === "forward" ? "forward" : "backward";
  const limit = LIMITS.includes(search.limit ?? "") ? Number(search.limit) : 500;
  const wrap = search.wrap !== "false";

  const labels = useStreamLabels();
  const lines = useLines({ expr, direction, limit, enabled: !metric && !live });
  const tail = useLive(expr, live, labels.data);
  const numbers = useLogMetric(expr, metric);
  const error = metric ? numbers.error : live ? tail.error : lines.error;

  const onFilter = (name: string, value: string, include: boolean, entry: LogEntry) => {
    if (name in entry.stream) change({ expr: withMatcher(expr, { label: name, op: include ? "=" : "!=", value }) });
    else change({ expr: withFieldFilter(expr, name, include ? "=" : "!=", value) });
  };

  return (
    <Page
      title="Logs"
      fill
      aside={
        <Button
          variant={live ? "filled" : "default"}
          leftSection={live ? <IconPlayerPause size={15} aria-hidden /> : <IconPlayerPlay size={15} aria-hidden />}
          onClick={() => change({ live: live ? undefined : "true" })}
          disabled={metric}
          aria-pressed={live}
        >
          {live ? "Live" : "Go live"}
        </Button>
      }
    >
      <Panel label="Query" className={classes.query}>
        <StreamPicker expr={expr} onChange={(next) => change({ expr: next })} />
        <Suspense fallback={<Skeleton h={40} />}>
          <LogqlField
            value={expr}
            busy={!live && (metric ? numbers.isFetching : lines.isFetching)}
            error={error ?? null}
            onSubmit={(next) => {
              if (next === expr) refreshNow();
              else change({ expr: next === "" ? undefined : next });
            }}
          />
        </Suspense>
        {!metric && (
          <Group gap="lg" mt={8}>
            <SegmentedControl
              size="xs"
              aria-label="Order"
              value={direction}
              disabled={live}
              onChange={(next) => change({ direction: next === "forward" ? "forward" : undefined })}
              data={[
                { value: "backward", label: "Newest first" },
                { value: "forward", label: "Oldest first" },
              ]}
            />
            <Select
              size="xs"
              w={120}
              aria-label="Most lines"
              value={String(limit)}
              disabled={live}
              allowDeselect={false}
              data={LIMITS.map((value) => ({ value, label: `${value} lines` }))}
              onChange={(next) => change({ limit: next ?? undefined })}
            />
            <Switch
              size="xs"
              label="Wrap long lines"
              checked={wrap}
              onChange={(event) => change({ wrap: event.currentTarget.checked ? undefined : "false" })}
            />
          </Group>
        )}
      </Panel>
      {metric ? (
        <LogMetric expr={expr} answer={numbers.data} pending={numbers.isPending} failed={numbers.error !== null} />
      ) : (
        <Panel flush className={classes.result} label="Lines">
          {!live && (
            <div className={classes.histogram}>
              <LogHistogram expr={expr} enabled={error === null} />
            </div>
          )}
          <div className={classes.lines}>
            <LogResult
              entries={live ? tail.entries : (lines.data?.entries ?? [])}
              pending={!live && lines.isPending}
              failed={error !== null && !live}
              full={!live && lines.data?.full === true}
              live={live}
              skipped={live && tail.skipped}
              direction={direction}
              limit={limit}
              wrap={wrap}
              onFilter={onFilter}
            />
          </div>
        </Panel>
      )}
    </Page>
  );
}

/** The query's stream selector as pills. A query that does not start with a selector is left alone. */
function StreamPicker({ expr, onChange }: { expr: string; onChange: (expr: string) => void }) {
  const { from, to } = useCoarseRange();
  const names = useMemo(
    (): FilterNames => ({
      id: `logs ${from} ${to}`,
      labels: (signal) => logLabels({ start: from, end: to }, signal),
      values: (label, signal) => logLabelValues(label, undefined, { start: from, end: to }, signal),
    }),
    [from, to],
  );
  const parsed = parseSelector(expr);
  if (!parsed) return null;
  const standsForAll = (filter: LabelFilter) =>
    filter.label === "service_name" && filter.op === "=~" && filter.value === ".+";
  return (
    <div className={classes.streams}>
      <FilterBar
        filters={parsed.filters.filter((filter) => !standsForAll(filter))}
        onChange={(filters) => onChange(`${streamSelector(filters)}${parsed.rest}`)}
        names={names}
      />
    </div>
  );
}
