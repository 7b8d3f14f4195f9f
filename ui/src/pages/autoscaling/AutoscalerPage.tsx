import { Group, Skeleton, Text } from "@mantine/core";
import { IconArrowLeft, IconArrowsMaximize } from "@tabler/icons-react";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { recordsQuery, useRecords } from "../../api/autoscaling";
import { usePromRange } from "../../api/hooks";
import { EmptyState } from "../../components/EmptyState";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { assembleTimeline } from "../../lib/autoscaling";
import { byDirection, type DecisionRecord, type Direction } from "../../lib/decision";
import { quote } from "../../lib/promql";
import { assembleSizes } from "../../lib/sizes";
import classes from "./AutoscalerPage.module.css";
import { DecisionTable } from "./DecisionTable";
import { LastDecision } from "./LastDecision";
import { SizesPanel } from "./SizesPanel";
import { TimelineChart } from "./TimelineChart";

const POINTS = 450;
const SIZE_SERIES = "yagura_autoscaler_size_";
const NO_FILTERS = { outcome: undefined, direction: undefined };

function directionOf(text: string | undefined): Direction | undefined {
  return text === "horizontal" || text === "vertical" ? text : undefined;
}

function passes(
  records: DecisionRecord[],
  id: string | undefined,
  filters: { outcome?: string; direction?: string },
): boolean {
  const record = records.find((entry) => entry.id === id);
  const direction = directionOf(filters.direction);
  if (!record) return true;
  return (!filters.outcome || filters.outcome === record.outcome) && (!direction || direction === record.direction);
}

/** One autoscaler: why it scaled or sized, and why not. A policy may be about replicas, about sizes, or about both. */
export function AutoscalerPage() {
  const { namespace, name } = useParams({ from: "/autoscaling/$namespace/$name" });
  const search = useSearch({ from: "/autoscaling/$namespace/$name" });
  const navigate = useNavigate({ from: "/autoscaling/$namespace/$name" });
  const ref = useMemo(() => ({ namespace, name }), [namespace, name]);
  const records = useRecords(ref);
  const series = usePromRange(
    `{__name__=~"yagura_autoscaler_(replicas_.+|objective_value|objective_target|size_.+)", target_namespace=${quote(namespace)}, autoscaler=${quote(name)}}`,
    { points: POINTS },
  );
  const list = useMemo(() => records.data?.records ?? [], [records.data]);
  const { horizontal, vertical } = useMemo(() => byDirection(list), [list]);
  const timelines = useMemo(() => {
    if (!series.data) return undefined;
    const { frame, step, series: all } = series.data;
    const start = frame.times[0] ?? 0;
    const end = frame.times.at(-1) ?? start;
    const sized = all.filter(({ labels }) => labels.__name__?.startsWith(SIZE_SERIES));
    const scaled = all.filter((entry) => !sized.includes(entry));
    const grid = { start, end, step };
    return {
      replicas: assembleTimeline(horizontal, scaled, grid),
      sizes: assembleSizes(vertical, sized, grid),
      scales: scaled.length > 0,
      sizesPods: sized.length > 0,
    };
  }, [horizontal, vertical, series.data]);
  const scales = horizontal.length > 0 || timelines?.scales === true;
  const sizesPods = vertical.length > 0 || timelines?.sizesPods === true;

  // A mark may be of a decision that the table's filters leave out: then they go.
  const select = (at: string | undefined) =>
    void navigate({
      search: (previous) => ({ ...previous, at, ...(passes(list, at, previous) ? {} : NO_FILTERS) }),
      replace: true,
    });
  const nothing =
    records.data !== undefined && series.data !== undefined && list.length === 0 && series.data.series.length === 0;
  const error = records.error && series.error ? records.error : null;

  return (
    <Page
      title={`${namespace}/${name}`}
      heading={
        <>
          <span className={classes.namespace}>{namespace}/</span>
          {name}
        </>
      }
      aside={
        <Group gap="lg">
          <TextLink to="/explore/logs" search={{ expr: recordsQuery(ref) }} size="sm">
            Records in the logs
          </TextLink>
          <TextLink to="/autoscaling" size="sm">
            <Group gap={4}>
              <IconArrowLeft size={15} aria-hidden /> All autoscalers
            </Group>
          </TextLink>
        </Group>
      }
    >
      {error ? (
        <QueryError error={error} what="The autoscaler's records" />
      ) : nothing ? (
        <Panel>
          <EmptyState icon={IconArrowsMaximize} title="Nothing from this autoscaler in this range" height={260}>
            It writes a record at least once a minute while it runs. Choose another range, or see whether the resource
            still exists:{" "}
            <code>
              kubectl describe wa -n {namespace} {name}
            </code>
          </EmptyState>
        </Panel>
      ) : (
        <>
          {records.isPending ? (
            <Skeleton h={92} />
          ) : (
            <div className={classes.last}>
              {horizontal[0] && <LastDecision record={horizontal[0]} about={sizesPods ? "replicas" : undefined} />}
              {vertical[0] && <LastDecision record={vertical[0]} about={scales ? "sizes" : undefined} />}
            </div>
          )}
          {records.error && <QueryError error={records.error} what="The decision records" />}
          {series.error && <QueryError error={series.error} what="The autoscaler's series" />}
          {(scales || !sizesPods) && (
            <Panel flush label="Timeline" title={sizesPods ? "Replicas" : undefined}>
              {timelines ? (
                <TimelineChart timeline={timelines.replicas} selected={search.at} onSelect={select} />
              ) : (
                <Skeleton h={380} m="sm" />
              )}
            </Panel>
          )}
          {sizesPods && (
            <SizesPanel
              latest={vertical[0]}
              timeline={timelines?.sizes}
              container={search.container}
              selected={search.at}
              onContainer={(container) =>
                void navigate({ search: (previous) => ({ ...previous, container }), replace: true })
              }
              onSelect={select}
            />
          )}
          <Panel
            flush
            title="Decisions"
            note={records.data?.truncated ? "the newest of this range; shorten it to see older ones" : undefined}
          >
            {records.isPending ? (
              <Skeleton h={160} m="sm" />
            ) : list.length === 0 ? (
              <Text size="sm" c="dimmed" p="md">
                The series are there, but no decision record is.
              </Text>
            ) : (
              <DecisionTable
                records={list}
                selected={search.at}
                outcome={search.outcome}
                direction={directionOf(search.direction)}
                onSelect={select}
                onOutcome={(outcome) =>
                  void navigate({ search: (previous) => ({ ...previous, outcome }), replace: true })
                }
                onDirection={(direction) =>
                  void navigate({ search: (previous) => ({ ...previous, direction }), replace: true })
                }
              />
            )}
          </Panel>
        </>
      )}
    </Page>
  );
}
