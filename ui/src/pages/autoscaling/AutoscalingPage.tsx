import { Skeleton, Table, Text, TextInput } from "@mantine/core";
import { IconArrowsMaximize, IconSearch } from "@tabler/icons-react";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useAutoscalers } from "../../api/autoscaling";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { Replicas } from "../../components/Replicas";
import type { AutoscalerSummary } from "../../lib/autoscaling";
import { type DecisionRecord, occasionOf } from "../../lib/decision";
import { changedSizes, containerName, sizeStep } from "../../lib/sizes";
import { formatAgo, formatDateTime } from "../../lib/time";
import classes from "./AutoscalingPage.module.css";
import { formatObjective } from "./objective";

/** Every autoscaler that reported, with its last decision. */
export function AutoscalingPage() {
  const search = useSearch({ from: "/autoscaling" });
  const navigate = useNavigate({ from: "/autoscaling" });
  const { list, isPending, error } = useAutoscalers();
  const words = (search.find ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const found = list.filter((entry) =>
    words.every((word) =>
      `${entry.key} ${entry.target} ${entry.mode} ${entry.horizontal?.outcome} ${entry.vertical?.outcome}`
        .toLowerCase()
        .includes(word),
    ),
  );
  return (
    <Page
      title="Autoscaling"
      aside={
        <TextInput
          w={260}
          aria-label="Filter autoscalers"
          placeholder="Filter by name or outcome  /"
          leftSection={<IconSearch size={15} aria-hidden />}
          data-page-filter
          value={search.find ?? ""}
          onChange={(event) => {
            const find = event.currentTarget.value || undefined;
            void navigate({ search: (previous) => ({ ...previous, find }), replace: true });
          }}
        />
      }
    >
      {error ? (
        <QueryError error={error} what="The autoscaler's records" />
      ) : isPending ? (
        <Skeleton h={220} />
      ) : list.length === 0 ? (
        <Panel>
          <EmptyState icon={IconArrowsMaximize} title="No autoscaler has reported" height={280}>
            An autoscaler writes a record at least once a minute. Give Yagura a cluster with{" "}
            <code>yagura up --kubeconfig FILE</code> and create a <code>WorkloadAutoscaler</code>; if one exists
            already, look at an earlier range.
          </EmptyState>
        </Panel>
      ) : (
        <Panel flush label="Autoscalers">
          <Table.ScrollContainer minWidth={1080}>
            <Table className={classes.table} verticalSpacing={8} horizontalSpacing="md">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>Autoscaler</Table.Th>
                  <Table.Th>Mode</Table.Th>
                  <Table.Th>Replicas</Table.Th>
                  <Table.Th>Signal and target</Table.Th>
                  <Table.Th>Sizes</Table.Th>
                  <Table.Th>Last decision</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {found.map((entry) => (
                  <Row key={entry.key} entry={entry} />
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          {found.length === 0 && <EmptyState icon={IconSearch} title={`Nothing matches “${search.find}”`} />}
        </Panel>
      )}
    </Page>
  );
}

function Row({ entry }: { entry: AutoscalerSummary }) {
  const { range, zone } = useTime();
  return (
    <Table.Tr>
      <Table.Td>
        <Link
          to="/autoscaling/$namespace/$name"
          params={{ namespace: entry.namespace, name: entry.name }}
          className={classes.name}
        >
          {entry.name}
        </Link>
        <Text size="xs" c="dimmed">
          {entry.namespace}
          {entry.target && ` · ${entry.target}`}
        </Text>
      </Table.Td>
      <Table.Td>{entry.mode || "–"}</Table.Td>
      <Table.Td w={150}>
        <Replicas current={entry.current} desired={entry.desired} min={entry.min} max={entry.max} />
      </Table.Td>
      <Table.Td>
        {entry.horizontal?.objectives.map((objective) => (
          <div key={objective.name} className={classes.objective}>
            <span className={classes.objectiveName}>{objective.name}</span>
            <span className="num">{formatObjective(objective.value, objective.unit)}</span>
            <span className={classes.dim}>of {formatObjective(objective.target, objective.unit)}</span>
            {objective.state !== "Fresh" && objective.state !== "" && (
              <span className={classes.state}>{objective.state.toLowerCase()}</span>
            )}
          </div>
        )) ?? "–"}
      </Table.Td>
      <Table.Td>{entry.vertical ? <Sizes record={entry.vertical} /> : "–"}</Table.Td>
      <Table.Td maw={460}>
        {entry.horizontal && (
          <Decision record={entry.horizontal} about={entry.vertical && "replicas"} to={range.to} zone={zone} />
        )}
        {entry.vertical && (
          <Decision record={entry.vertical} about={entry.horizontal && "sizes"} to={range.to} zone={zone} />
        )}
        {!entry.horizontal && !entry.vertical && (
          <Text size="sm" c="dimmed">
            no record in the last minutes
          </Text>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

const SHOWN_SIZES = 3;

/** The sizes that differ most from what they should be. */
function Sizes({ record }: { record: DecisionRecord }) {
  const changed = changedSizes(record);
  const { length } = record.sizes;
  if (changed.length === 0) {
    return <span className={classes.dim}>{length === 0 ? "none known" : `${length}, all as they should be`}</span>;
  }
  return (
    <>
      {changed.slice(0, SHOWN_SIZES).map((size) => (
        <div key={`${containerName(size)} ${size.resource}`} className={classes.objective}>
          <span>
            {containerName(size)} <span className={classes.dim}>{size.resource}</span>
          </span>
          <span className="num">{sizeStep(size)}</span>
        </div>
      ))}
      {changed.length > SHOWN_SIZES && <div className={classes.more}>and {changed.length - SHOWN_SIZES} more</div>}
    </>
  );
}

interface DecisionProps {
  record: DecisionRecord;
  /** What it is about, where there is another one about something else. */
  about?: string;
  to: number;
  zone: "local" | "utc";
}

function Decision({ record, about, to, zone }: DecisionProps) {
  return (
    <div className={classes.decision}>
      <div className={classes.last}>
        <OutcomeBadge outcome={occasionOf(record)} />
        <Text size="xs" c="dimmed" title={formatDateTime(record.ms, zone)}>
          {about && `${about}, `}
          {formatAgo(record.ms, to)}
        </Text>
      </div>
      <Text size="sm" mt={2}>
        {record.reason}
      </Text>
    </div>
  );
}
