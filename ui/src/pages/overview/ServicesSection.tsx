import { Skeleton, Table } from "@mantine/core";
import { IconHierarchy2 } from "@tabler/icons-react";
import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { searchTraces, services } from "../../api/jaeger";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { serviceHealth } from "../../lib/trace";
import { formatCount, formatSeconds, formatValue } from "../../lib/units";
import classes from "./Overview.module.css";

// A sample large enough for a percentile and small enough to ask for again and again.
const SAMPLE = 50;
const MAX_SERVICES = 20;
// Traces change little within a quarter of a minute, and each sample costs a search.
const GRAIN_MS = 15_000;

/** Services as their traces show them: how often they are asked, how often they fail, how long they take. */
export function ServicesSection() {
  const { range } = useTime();
  const to = Math.ceil(range.to / GRAIN_MS) * GRAIN_MS;
  const from = Math.floor(range.from / GRAIN_MS) * GRAIN_MS;
  const names = useQuery({
    queryKey: ["services", to],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => services(signal),
  });
  const listed = (names.data ?? []).slice(0, MAX_SERVICES);
  const samples = useQueries({
    queries: listed.map((service) => ({
      queryKey: ["service sample", service, from, to],
      placeholderData: keepPreviousData,
      queryFn: async ({ signal }: { signal: AbortSignal }) => {
        const traces = await searchTraces({ service, limit: SAMPLE, from, to }, signal);
        return serviceHealth(service, traces, { from: from * 1000, to: Math.min(to, Date.now()) * 1000 }, SAMPLE);
      },
    })),
  });
  return (
    <Panel
      title="Services"
      note="from traces"
      flush
      aside={
        <TextLink to="/traces" size="xs">
          All traces
        </TextLink>
      }
    >
      {names.error ? (
        <QueryError error={names.error} what="The list of services" />
      ) : names.isPending ? (
        <Skeleton h={120} m="sm" />
      ) : listed.length === 0 ? (
        <EmptyState icon={IconHierarchy2} title="No traces yet" height={150}>
          Point an OpenTelemetry SDK at the OTLP ports of this host (gRPC 4317, HTTP 4318), for instance with{" "}
          <code>OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318</code>.
        </EmptyState>
      ) : (
        <div className={classes.scroll}>
          <Table className={classes.table} verticalSpacing={5} horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Service</Table.Th>
                <Table.Th className={classes.right}>Requests</Table.Th>
                <Table.Th className={classes.right}>Errors</Table.Th>
                <Table.Th className={classes.right}>Median</Table.Th>
                <Table.Th className={classes.right}>p95</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {listed.map((service, index) => {
                const health = samples[index]?.data;
                const share = health && health.requests > 0 ? health.errors / health.requests : undefined;
                return (
                  <Table.Tr key={service}>
                    <Table.Td>
                      <Link to="/traces" search={{ service }} className={classes.link}>
                        {service}
                      </Link>
                    </Table.Td>
                    <Table.Td
                      className={classes.right}
                      title={health?.sampled ? `from the newest ${SAMPLE} traces` : undefined}
                    >
                      {health ? `${health.sampled ? "≈ " : ""}${formatCount(health.rate)}/s` : "…"}
                    </Table.Td>
                    <Table.Td className={classes.right}>
                      {share !== undefined && share > 0 ? (
                        <Link
                          to="/traces"
                          search={{ service, tags: "error=true" }}
                          className={`${classes.link} ${classes.bad}`}
                        >
                          {formatValue(share, "ratio")}
                        </Link>
                      ) : (
                        formatValue(share, "ratio")
                      )}
                    </Table.Td>
                    <Table.Td className={classes.right}>
                      {health && health.requests > 0 ? formatSeconds(health.p50 / 1e6) : "–"}
                    </Table.Td>
                    <Table.Td className={classes.right}>
                      {health && health.requests > 0 ? formatSeconds(health.p95 / 1e6) : "–"}
                    </Table.Td>
                  </Table.Tr>
                );
              })}
            </Table.Tbody>
          </Table>
        </div>
      )}
    </Panel>
  );
}
