import { Skeleton, Text } from "@mantine/core";
import { IconListSearch } from "@tabler/icons-react";
import { EmptyState } from "../../components/EmptyState";
import { QueryError } from "../../components/QueryError";
import { TextLink } from "../../components/TextLink";
import { traceLogsQuery } from "../../lib/logql";
import type { LogEntry } from "../../lib/logs";
import { distinguishingLabels } from "../../lib/series";
import { LogList } from "../logs/LogList";

/** The lines that carry the trace's id, oldest first: they tell the trace's story beside the spans. */
export function TraceLogs({ traceId, entries, error }: { traceId: string; entries?: LogEntry[]; error: Error | null }) {
  if (error) return <QueryError error={error} what="The trace's logs" />;
  if (!entries) return <Skeleton h={120} m="md" />;
  if (entries.length === 0) {
    return (
      <EmptyState icon={IconListSearch} title="No log line carries this trace's id" height={200}>
        An OpenTelemetry logging bridge puts <code>trace_id</code> on each line that is written while a span is active.
      </EmptyState>
    );
  }
  const names = distinguishingLabels(entries.map((entry) => entry.stream));
  const shown = names.includes("service_name") ? ["service_name"] : names.slice(0, 1);
  return (
    <>
      <Text size="xs" c="dimmed" px="md" py={5}>
        {entries.length} lines ·{" "}
        <TextLink size="xs" to="/explore/logs" search={{ expr: traceLogsQuery(traceId) }}>
          Open in the log explorer
        </TextLink>
      </Text>
      <div style={{ flex: 1, minHeight: 0 }}>
        <LogList entries={entries} wrap={false} shownLabels={shown} label="Log lines of this trace" />
      </div>
    </>
  );
}
