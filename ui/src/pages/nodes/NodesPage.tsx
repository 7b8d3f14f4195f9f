import { Skeleton, Text } from "@mantine/core";
import { IconServer2 } from "@tabler/icons-react";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useMemo } from "react";
import { nodeRecordsQuery, useNodeRecords } from "../../api/autoscaling";
import { useFleet } from "../../api/fleet";
import { ApiError } from "../../api/http";
import type { NodesSearch } from "../../app/search";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { byZone, countedBy, type Fleet, filterNodes, parseSort, sortNodes } from "../../lib/fleet";
import { formatDateTime } from "../../lib/time";
import { formatInteger } from "../../lib/units";
import { DecisionTable } from "../autoscaling/DecisionTable";
import { FleetCharts } from "./FleetCharts";
import { FleetSummary } from "./FleetSummary";
import { MovesPanel } from "./MovesPanel";
import { NodeDrawer } from "./NodeDrawer";
import { NodeFilters } from "./NodeFilters";
import { NodeMap } from "./NodeMap";
import classes from "./NodesPage.module.css";
import { NodeTable } from "./NodeTable";
import { PendingPanel } from "./PendingPanel";
import { PoliciesPanel } from "./PoliciesPanel";

/** The fleet: over time, what is planned for it, and why each node is there and stays. */
export function NodesPage() {
  const search = useSearch({ from: "/nodes" });
  const navigate = useNavigate({ from: "/nodes" });
  const fleet = useFleet();
  const records = useNodeRecords();
  const change = useCallback(
    (next: Partial<NodesSearch>) =>
      void navigate({ search: (previous) => ({ ...previous, ...next }), replace: true, resetScroll: false }),
    [navigate],
  );
  const open = useCallback((node: string) => change({ node }), [change]);
  const list = records.data?.records;
  // Without an autoscaler there is nothing to look back on, unless there once was one.
  const unconfigured = fleet.error instanceof ApiError && fleet.error.status === 501;
  const history = !unconfigured || (list !== undefined && list.length > 0);

  return (
    <Page
      title="Nodes"
      aside={
        <TextLink to="/explore/logs" search={{ expr: nodeRecordsQuery() }} size="sm">
          Records in the logs
        </TextLink>
      }
    >
      {fleet.data ? (
        <FleetSummary fleet={fleet.data} />
      ) : fleet.error ? (
        <Unavailable error={fleet.error} />
      ) : (
        <Skeleton h={84} />
      )}
      {history && <FleetCharts by={countedBy(search.by)} onBy={(by) => change({ by })} records={list} />}
      {fleet.data ? (
        <Now fleet={fleet.data} search={search} onChange={change} onOpen={open} />
      ) : (
        fleet.isPending && <Skeleton h={420} />
      )}
      {history && (
        <Panel
          flush
          title="Decisions"
          note={records.data?.truncated ? "the newest of this range; shorten it to see older ones" : undefined}
        >
          {records.error ? (
            <QueryError error={records.error} what="The decision records" />
          ) : list === undefined ? (
            <Skeleton h={160} m="sm" />
          ) : list.length === 0 ? (
            <Text size="sm" c="dimmed" px={14} pb={12}>
              No decision about nodes was recorded in this range. A policy is recorded at least once a minute.
            </Text>
          ) : (
            <DecisionTable
              records={list}
              selected={search.at}
              outcome={search.outcome}
              onSelect={(at) => change({ at })}
              onOutcome={(outcome) => change({ outcome })}
              onDirection={() => {}}
            />
          )}
        </Panel>
      )}
      <NodeDrawer
        name={search.node}
        fleet={fleet.data}
        records={list ?? []}
        onClose={() => change({ node: undefined })}
        onOpen={open}
        onRecord={(at) => change({ at, outcome: undefined, node: undefined })}
      />
    </Page>
  );
}

interface NowProps {
  fleet: Fleet;
  search: NodesSearch;
  onChange: (next: Partial<NodesSearch>) => void;
  onOpen: (node: string) => void;
}

/** What is known of the present alone. */
function Now({ fleet, search, onChange, onOpen }: NowProps) {
  const { zone: timeZone } = useTime();
  const { find, policy, zone, phase, capacity } = search;
  const sort = useMemo(() => parseSort(search.sort), [search.sort]);
  const found = useMemo(
    () => filterNodes(fleet.nodes, { find, policy, zone, phase, capacity }),
    [fleet.nodes, find, policy, zone, phase, capacity],
  );
  const sorted = useMemo(() => sortNodes(found, sort), [found, sort]);
  const zones = useMemo(() => byZone(found), [found]);
  return (
    <>
      <PoliciesPanel policies={fleet.policies} onPick={(name) => onChange({ policy: name })} />
      <div className={classes.columns}>
        <MovesPanel moves={fleet.moves} onOpen={onOpen} />
        <PendingPanel pending={fleet.pending} count={fleet.pendingCount} onOpen={onOpen} />
      </div>
      <Panel
        flush
        title="All nodes"
        note={`${found.length === fleet.nodes.length ? "" : `${formatInteger(found.length)} of `}${formatInteger(fleet.nodes.length)}${
          fleet.time ? `, as of ${formatDateTime(fleet.time, timeZone)}` : ""
        }`}
      >
        <NodeFilters nodes={fleet.nodes} search={search} onChange={onChange} />
        {found.length === 0 ? (
          <EmptyState
            icon={IconServer2}
            title={fleet.nodes.length === 0 ? "There are no nodes" : "No node matches"}
            height={160}
          >
            {fleet.nodes.length > 0 && "Loosen the filters above."}
          </EmptyState>
        ) : (
          <>
            <NodeMap zones={zones} selected={search.node} onOpen={onOpen} onZone={(next) => onChange({ zone: next })} />
            <NodeTable
              nodes={sorted}
              sort={sort}
              selected={search.node}
              now={fleet.time ?? Date.now()}
              onSort={(next) => onChange({ sort: next })}
              onOpen={onOpen}
            />
          </>
        )}
      </Panel>
    </>
  );
}

/** Why nothing is known of the nodes right now, and what can be done about it. */
export function Unavailable({ error }: { error: Error }) {
  const status = error instanceof ApiError ? error.status : 0;
  if (status === 501 || status === 404)
    return (
      <Panel>
        <EmptyState icon={IconServer2} title="No autoscaler is configured" height={260}>
          The nodes are the autoscaler's to know. Give Yagura a cluster with <code>yagura up --kubeconfig FILE</code>,
          or name the autoscaler's address in the query service's configuration: <code>query.autoscaler.url</code>.
        </EmptyState>
      </Panel>
    );
  if (status === 503)
    return (
      <Panel>
        <EmptyState icon={IconServer2} title="No autoscaler speaks for the nodes right now" height={160}>
          <p className={classes.words}>{error.message}</p>
          After a start or a change of the leader this takes a few seconds, and this page asks again by itself. What was
          recorded before stands below.
        </EmptyState>
      </Panel>
    );
  return <QueryError error={error} what="The fleet" />;
}
