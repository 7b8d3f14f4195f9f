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
import { quote } from "../../lib/promql";
import classes from "./AutoscalerPage.module.css";
import { DecisionTable } from "./DecisionTable";
import { LastDecision } from "./LastDecision";
import { TimelineChart } from "./TimelineChart";

const POINTS = 450;

/** One autoscaler: why it scaled, and why not. */
export function AutoscalerPage() {
  const { namespace, name } = useParams({ from: "/autoscaling/$namespace/$name" });
  const search = useSearch({ from: "/autoscaling/$namespace/$name" });
  const navigate = useNavigate({ from: "/autoscaling/$namespace/$name" });
  const ref = useMemo(() => ({ namespace, name }), [namespace, name]);
  const records = useRecords(ref);
  const series = usePromRange(
    `{__name__=~"yagura_autoscaler_(replicas_.+|objective_value|objective_target)", target_namespace=${quote(namespace)}, autoscaler=${quote(name)}}`,
    { points: POINTS },
  );
  const timeline = useMemo(() => {
    if (!series.data) return undefined;
    const { frame, step } = series.data;
    const start = frame.times[0] ?? 0;
    const end = frame.times.at(-1) ?? start;
    return assembleTimeline(records.data?.records ?? [], series.data.series, { start, end, step });
  }, [records.data, series.data]);

  const select = (at: string | undefined) =>
    void navigate({ search: (previous) => ({ ...previous, at }), replace: true });
  const list = records.data?.records ?? [];
  const latest = list[0];
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
          {records.isPending ? <Skeleton h={92} /> : latest && <LastDecision record={latest} />}
          {records.error && <QueryError error={records.error} what="The decision records" />}
          {series.error && <QueryError error={series.error} what="The autoscaler's series" />}
          <Panel flush label="Timeline">
            {timeline ? (
              <TimelineChart timeline={timeline} selected={search.at} onSelect={select} />
            ) : (
              <Skeleton h={380} m="sm" />
            )}
          </Panel>
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
                onSelect={select}
                onOutcome={(outcome) =>
                  void navigate({ search: (previous) => ({ ...previous, outcome }), replace: true })
                }
              />
            )}
          </Panel>
        </>
      )}
    </Page>
  );
}
