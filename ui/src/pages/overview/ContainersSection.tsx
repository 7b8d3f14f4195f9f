import { Skeleton, Table, TextInput } from "@mantine/core";
import { IconArrowDown, IconBox, IconSearch } from "@tabler/icons-react";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { usePromInstantParts, useScrapeInterval } from "../../api/hooks";
import { EmptyState } from "../../components/EmptyState";
import { Meter } from "../../components/Meter";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import {
  type ContainerUsage,
  filterContainers,
  joinContainers,
  type SortKey,
  sortContainers,
  type UsageField,
} from "../../lib/containers";
import { streamSelector } from "../../lib/logql";
import { buildPromQL, formatPromDuration, rateWindow, selector } from "../../lib/promql";
import { formatValue } from "../../lib/units";
import classes from "./Overview.module.css";

const BY = "by (namespace, pod, container, node)";
const SHOWN = 100;

/** Pods and their containers: what they use, next to what they asked for. */
export function ContainersSection() {
  const search = useSearch({ from: "/" });
  const navigate = useNavigate({ from: "/" });
  const [sort, setSort] = useState<SortKey>("cpu");
  const interval = useScrapeInterval('container_cpu_usage_seconds_total{container!="", container!="POD"}') ?? 15;
  const window = formatPromDuration(Math.max(15, rateWindow(interval, 1)));
  const own = '{container!="", container!="POD"}';

  const answer = usePromInstantParts<UsageField>({
    cpu: `sum ${BY} (rate(container_cpu_usage_seconds_total${own}[${window}]))`,
    memory: `sum ${BY} (container_memory_working_set_bytes${own})`,
    cpuRequest: `sum ${BY} (kube_pod_container_resource_requests{resource="cpu"})`,
    memoryRequest: `sum ${BY} (kube_pod_container_resource_requests{resource="memory"})`,
    cpuLimit: `sum ${BY} (container_spec_cpu_quota${own} / container_spec_cpu_period${own} > 0)`,
    // An unlimited cgroup reports a limit near the largest integer.
    memoryLimit: `sum ${BY} (container_spec_memory_limit_bytes${own} > 0 < 2^60)`,
    throttled: `sum ${BY} (rate(container_cpu_cfs_throttled_periods_total${own}[${window}])) / (sum ${BY} (rate(container_cpu_cfs_periods_total${own}[${window}])) > 0)`,
    oomKills: `sum ${BY} (container_oom_events_total${own})`,
  });
  const rows = useMemo(() => joinContainers(answer.parts), [answer.parts]);
  const found = useMemo(
    () => sortContainers(filterContainers(rows, search.find ?? ""), sort),
    [rows, search.find, sort],
  );
  const pods = new Set(rows.map((row) => `${row.namespace}/${row.pod}`)).size;
  return (
    <Panel
      title="Pods and containers"
      note={rows.length > 0 ? `${pods} pods, ${rows.length} containers` : undefined}
      flush
      aside={
        <TextInput
          size="xs"
          w={240}
          aria-label="Filter pods and containers"
          placeholder="Filter by name  /"
          leftSection={<IconSearch size={14} aria-hidden />}
          data-page-filter
          value={search.find ?? ""}
          onChange={(event) => {
            const find = event.currentTarget.value || undefined;
            void navigate({ search: (previous) => ({ ...previous, find }), replace: true });
          }}
        />
      }
    >
      {answer.error && !answer.data ? (
        <QueryError error={answer.error} what="Container usage" />
      ) : answer.data === undefined ? (
        <Loading />
      ) : rows.length === 0 ? (
        <EmptyState icon={IconBox} title="Observing this host only" height={140}>
          No containers are reported yet. Give Yagura a cluster with <code>yagura up --kubeconfig FILE</code> (or run{" "}
          <code>make run</code> for a local one), and its pods appear here with what they use and what they asked for.
        </EmptyState>
      ) : found.length === 0 ? (
        <EmptyState icon={IconSearch} title={`Nothing matches “${search.find}”`} height={140} />
      ) : (
        <UsageTable
          rows={found.slice(0, SHOWN)}
          hidden={found.length - SHOWN}
          sort={sort}
          onSort={setSort}
          window={window}
        />
      )}
    </Panel>
  );
}

interface UsageTableProps {
  rows: ContainerUsage[];
  hidden: number;
  sort: SortKey;
  onSort: (key: SortKey) => void;
  window: string;
}

function UsageTable({ rows, hidden, sort, onSort, window }: UsageTableProps) {
  const head = (key: SortKey, label: string) => (
    <Table.Th aria-sort={sort === key ? (key === "name" ? "ascending" : "descending") : "none"}>
      <button
        type="button"
        className={classes.sort}
        data-active={sort === key || undefined}
        onClick={() => onSort(key)}
      >
        {label}
        {sort === key && <IconArrowDown size={12} aria-hidden />}
      </button>
    </Table.Th>
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section className={classes.scroll} tabIndex={0} aria-label="Usage by container">
      <Table className={classes.table} verticalSpacing={5} horizontalSpacing="md">
        <Table.Thead>
          <Table.Tr>
            {head("name", "Pod")}
            <Table.Th>Namespace</Table.Th>
            <Table.Th>Container</Table.Th>
            {head("cpu", "CPU")}
            {head("memory", "Memory")}
            <Table.Th className={classes.right}>Throttled</Table.Th>
            <Table.Th className={classes.right}>OOM kills</Table.Th>
            <Table.Th>Logs</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <UsageRow key={row.key} row={row} window={window} />
          ))}
        </Table.Tbody>
      </Table>
      {hidden > 0 && <div className={classes.noTile}>{hidden} more; filter to see them.</div>}
    </section>
  );
}

function UsageRow({ row, window }: { row: ContainerUsage; window: string }) {
  const filters = [
    { label: "namespace", op: "=" as const, value: row.namespace },
    { label: "pod", op: "=" as const, value: row.pod },
    { label: "container", op: "=" as const, value: row.container },
  ].filter((filter) => filter.value !== "");
  const cpuExpr = `rate(${selector("container_cpu_usage_seconds_total", filters)}[${window}])`;
  const memoryExpr = buildPromQL(
    { metric: "container_memory_working_set_bytes", filters, aggregation: "none", by: [] },
    "gauge",
    60,
  );
  return (
    <Table.Tr>
      <Table.Td maw={280} className="ellipsis">
        <Link
          to="/explore/metrics"
          search={{ expr: cpuExpr }}
          className={classes.link}
          title={row.pod || row.container}
        >
          {row.pod || "–"}
        </Link>
      </Table.Td>
      <Table.Td>{row.namespace || "–"}</Table.Td>
      <Table.Td maw={180} className="ellipsis" title={row.container}>
        {row.container || "–"}
      </Table.Td>
      <Table.Td w={170}>
        <Link to="/explore/metrics" search={{ expr: cpuExpr }} className={classes.link}>
          <Usage value={row.cpu} request={row.cpuRequest} limit={row.cpuLimit} unit="cores" what="CPU" />
        </Link>
      </Table.Td>
      <Table.Td w={190}>
        <Link to="/explore/metrics" search={{ expr: memoryExpr }} className={classes.link}>
          <Usage value={row.memory} request={row.memoryRequest} limit={row.memoryLimit} unit="bytes" what="memory" />
        </Link>
      </Table.Td>
      <Table.Td className={classes.right}>
        <span className={(row.throttled ?? 0) > 0.25 ? classes.bad : undefined}>
          {formatValue(row.throttled, "ratio")}
        </span>
      </Table.Td>
      <Table.Td className={classes.right}>
        <span className={(row.oomKills ?? 0) > 0 ? classes.bad : undefined}>{formatValue(row.oomKills, "number")}</span>
      </Table.Td>
      <Table.Td>
        <Link
          to="/explore/logs"
          search={{ expr: streamSelector(filters) }}
          aria-label={`Logs of ${row.pod || row.container}`}
        >
          Logs
        </Link>
      </Table.Td>
    </Table.Tr>
  );
}

function Usage({
  value,
  request,
  limit,
  unit,
  what,
}: {
  value?: number;
  request?: number;
  limit?: number;
  unit: "cores" | "bytes";
  what: string;
}) {
  if (value === undefined) return <>–</>;
  const of = request ?? limit;
  const detail = of === undefined ? undefined : `${request === undefined ? "limit" : "of"} ${formatValue(of, unit)}`;
  return (
    <Meter
      value={value}
      of={of}
      text={formatValue(value, unit)}
      detail={detail}
      label={`${what} used of what was ${request === undefined ? "allowed" : "requested"}`}
    />
  );
}

function Loading() {
  return (
    <div style={{ padding: "4px 14px 14px" }}>
      {[0, 1, 2, 3].map((row) => (
        <Skeleton key={row} h={26} mt={8} />
      ))}
    </div>
  );
}
