import { Group, Skeleton, Tabs, Text } from "@mantine/core";
import { IconArrowLeft, IconHierarchy2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { traceById } from "../../api/jaeger";
import { queryLogs } from "../../api/loki";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { traceLogsQuery } from "../../lib/logql";
import { type LogEntry, toEntries } from "../../lib/logs";
import { formatDateTime } from "../../lib/time";
import { buildTrace, type TraceModel } from "../../lib/trace";
import { formatInteger, formatSeconds } from "../../lib/units";
import { useStreamLabels } from "../logs/useLogs";
import { SpanDetails } from "./SpanDetails";
import { TraceLogs } from "./TraceLogs";
import classes from "./TracePage.module.css";
import { Waterfall } from "./Waterfall";

/** One trace: its waterfall, the chosen span, and the lines that its services wrote meanwhile. */
export function TracePage() {
  const { traceId } = useParams({ from: "/traces/$traceId" });
  const search = useSearch({ from: "/traces/$traceId" });
  const navigate = useNavigate({ from: "/traces/$traceId" });
  const found = useQuery({
    queryKey: ["trace", traceId],
    staleTime: 60_000,
    gcTime: 300_000,
    queryFn: async ({ signal }) => {
      const trace = await traceById(traceId, signal);
      return trace ? buildTrace(trace) : null;
    },
  });
  const model = found.data ?? undefined;
  const logs = useTraceLogs(traceId, model);
  const selected = search.span ? model?.byId.get(search.span) : undefined;
  const root = model?.roots[0]?.span;
  const view = search.view === "logs" ? "logs" : "waterfall";
  const select = (span: string | undefined) =>
    void navigate({ search: (previous) => ({ ...previous, span }), replace: true });

  return (
    <Page
      fill
      title={root ? `${root.service} ${root.name}` : "Trace"}
      heading={
        <span className={classes.heading}>
          {root ? (
            <>
              {root.service} <span className={classes.rootName}>{root.name}</span>
            </>
          ) : (
            "Trace"
          )}
        </span>
      }
      aside={
        <TextLink to="/traces" search={root ? { service: root.service } : {}} size="sm">
          <Group gap={4}>
            <IconArrowLeft size={15} aria-hidden /> Traces{root ? ` of ${root.service}` : ""}
          </Group>
        </TextLink>
      }
    >
      {found.error ? (
        <QueryError error={found.error} what="The trace" />
      ) : found.isPending ? (
        <Skeleton flex={1} />
      ) : !model || model.order.length === 0 ? (
        <Panel>
          <EmptyState icon={IconHierarchy2} title="This trace is not here" height={260}>
            No span with the id <code>{traceId}</code> is kept. It may be past its retention, sampled away, or still on
            its way.
          </EmptyState>
        </Panel>
      ) : (
        <>
          <Facts model={model} />
          <div className={classes.layout} data-details={selected ? true : undefined}>
            <Panel flush className={classes.main} label="Trace">
              <Tabs
                value={view}
                onChange={(next) =>
                  void navigate({
                    search: (previous) => ({ ...previous, view: next === "logs" ? "logs" : undefined }),
                    replace: true,
                  })
                }
                className={classes.tabs}
                keepMounted={false}
              >
                <Tabs.List px="sm">
                  <Tabs.Tab value="waterfall">Waterfall</Tabs.Tab>
                  <Tabs.Tab value="logs">Logs {logs.data ? `(${logs.data.length})` : ""}</Tabs.Tab>
                </Tabs.List>
                <Tabs.Panel value="waterfall" className={classes.tab}>
                  <Waterfall model={model} selected={search.span} onSelect={select} logs={logs.data ?? []} />
                </Tabs.Panel>
                <Tabs.Panel value="logs" className={classes.tab}>
                  <TraceLogs traceId={traceId} entries={logs.data} error={logs.error} />
                </Tabs.Panel>
              </Tabs>
            </Panel>
            {selected && (
              <SpanDetails
                key={selected.span.spanId}
                node={selected}
                model={model}
                logs={(logs.data ?? []).filter((entry) => entry.metadata.span_id === selected.span.spanId)}
                onClose={() => select(undefined)}
                onSelect={select}
              />
            )}
          </div>
        </>
      )}
    </Page>
  );
}

const LOG_LIMIT = 1000;
// Clocks of hosts differ a little, and a line about a request may follow it.
const LOG_MARGIN_MS = 60_000;

function useTraceLogs(traceId: string, model: TraceModel | undefined) {
  const labels = useStreamLabels();
  return useQuery({
    queryKey: ["trace logs", traceId, model?.start, labels.data?.join(",")],
    enabled: model !== undefined && !labels.isPending,
    staleTime: 60_000,
    queryFn: async ({ signal }): Promise<LogEntry[]> => {
      if (!model) return [];
      const range = {
        start: Math.floor(model.start / 1000) - LOG_MARGIN_MS,
        end: Math.ceil(model.end / 1000) + LOG_MARGIN_MS,
      };
      const streams = await queryLogs(
        traceLogsQuery(traceId),
        range,
        { limit: LOG_LIMIT, direction: "forward" },
        signal,
      );
      return toEntries(streams, "forward", labels.data ? new Set(labels.data) : undefined);
    },
  });
}

function Facts({ model }: { model: TraceModel }) {
  const { zone } = useTime();
  const facts = useMemo(
    () => [
      ["Duration", formatSeconds((model.end - model.start) / 1e6)],
      ["Started", formatDateTime(model.start / 1000, zone)],
      ["Spans", formatInteger(model.order.length)],
      ["Services", String(model.services.length)],
      ["Depth", String(model.depth)],
    ],
    [model, zone],
  );
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd className="num">{value}</dd>
        </div>
      ))}
      <div>
        <dt>Errors</dt>
        <dd className={model.errors > 0 ? classes.bad : undefined}>{model.errors}</dd>
      </div>
      <div>
        <dt>Trace</dt>
        <dd>
          <Text span className="mono">
            {model.id}
          </Text>
        </dd>
      </div>
    </dl>
  );
}
