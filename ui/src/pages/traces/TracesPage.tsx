import { Select, Skeleton, Text } from "@mantine/core";
import { IconHierarchy2, IconSearch } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";
import { searchTraces } from "../../api/jaeger";
import { useServiceColors, useServices } from "../../api/services";
import type { TracesSearch } from "../../app/search";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import { Page } from "../../components/Page";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { parseTags, summarizeTrace } from "../../lib/trace";
import { SearchForm } from "./SearchForm";
import { TraceList } from "./TraceList";
import { TraceScatter } from "./TraceScatter";
import classes from "./TracesPage.module.css";

export const LIMITS = ["20", "50", "100", "200", "500"];
const DEFAULT_LIMIT = "50";

/** Traces of one service: where they lie in time and duration, and which they are. */
export function TracesPage() {
  const search = useSearch({ from: "/traces" });
  const navigate = useNavigate({ from: "/traces" });
  const change = (next: Partial<TracesSearch>) => void navigate({ search: (previous) => ({ ...previous, ...next }) });
  const { range } = useTime();
  const names = useServices();
  // People come for their own services first; ours are a click away.
  const service = search.service ?? names.data?.find((name) => !name.startsWith("yagura")) ?? names.data?.[0];
  const limit = LIMITS.includes(search.limit ?? "") ? (search.limit as string) : DEFAULT_LIMIT;
  const tags = parseTags(search.tags ?? "");
  const found = useQuery({
    queryKey: ["traces", service, search.operation, search.tags, search.min, search.max, limit, range.from, range.to],
    enabled: service !== undefined && tags.error === undefined,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const traces = await searchTraces(
        {
          service: service as string,
          operation: search.operation,
          tags: tags.tags,
          minDuration: search.min,
          maxDuration: search.max,
          limit: Number(limit),
          from: range.from,
          to: range.to,
        },
        signal,
      );
      return traces.map(summarizeTrace);
    },
  });
  const sorted = useMemo(() => {
    const list = [...(found.data ?? [])];
    switch (search.sort) {
      case "longest":
        return list.sort((a, b) => b.duration - a.duration);
      case "shortest":
        return list.sort((a, b) => a.duration - b.duration);
      case "spans":
        return list.sort((a, b) => b.spans - a.spans);
      default:
        return list.sort((a, b) => b.start - a.start);
    }
  }, [found.data, search.sort]);

  const full = sorted.length >= Number(limit);
  const roots = useMemo(() => sorted.flatMap((trace) => trace.services.map((entry) => entry.name)), [sorted]);
  const colorOf = useServiceColors(roots);

  return (
    <Page title="Traces">
      <Panel label="Search">
        <SearchForm
          search={search}
          service={service}
          services={names.data}
          limit={limit}
          tagsError={tags.error}
          onChange={change}
          busy={found.isFetching}
        />
      </Panel>
      {names.error && <QueryError error={names.error} what="The list of services" />}
      {found.error && <QueryError error={found.error} what="The traces" />}
      {names.data?.length === 0 ? (
        <Panel>
          <EmptyState icon={IconHierarchy2} title="No traces yet" height={260}>
            Point an OpenTelemetry SDK at the OTLP ports of this host (gRPC 4317, HTTP 4318), for instance with{" "}
            <code>OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318</code>.
          </EmptyState>
        </Panel>
      ) : found.error ? null : found.data === undefined ? (
        <Skeleton h={320} />
      ) : sorted.length === 0 ? (
        <Panel>
          <EmptyState icon={IconSearch} title="No trace matches" height={260}>
            Nothing of {service} fits between these two instants. A wider range or fewer conditions may.
          </EmptyState>
        </Panel>
      ) : (
        <Panel
          flush
          title={`${sorted.length} ${sorted.length === 1 ? "trace" : "traces"}`}
          note={full ? "the limit; there may be more" : undefined}
          aside={
            <Select
              size="xs"
              w={150}
              aria-label="Sort"
              value={search.sort ?? "newest"}
              allowDeselect={false}
              data={[
                { value: "newest", label: "newest first" },
                { value: "longest", label: "longest first" },
                { value: "shortest", label: "shortest first" },
                { value: "spans", label: "most spans first" },
              ]}
              onChange={(next) => change({ sort: next === "newest" ? undefined : (next ?? undefined) })}
            />
          }
        >
          <div className={classes.scatter}>
            <TraceScatter
              traces={sorted}
              full={full}
              colorOf={colorOf}
              onOpen={(id) => void navigate({ to: "/traces/$traceId", params: { traceId: id } })}
            />
          </div>
          <TraceList traces={sorted} colorOf={colorOf} />
          <Text size="xs" c="dimmed" px="md" py={6}>
            Durations are those of whole traces, drawn against the longest of the list.
          </Text>
        </Panel>
      )}
    </Page>
  );
}
