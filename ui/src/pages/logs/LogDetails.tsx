import { Anchor, CopyButton, Group } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { LabelList } from "../../components/LabelList";
import { TextLink } from "../../components/TextLink";
import { jsonFields, type LogEntry, traceIdOf } from "../../lib/logs";
import { byImportance } from "../../lib/series";
import classes from "./LogDetails.module.css";

interface LogDetailsProps {
  entry: LogEntry;
  onFilter?: (name: string, value: string, include: boolean, entry: LogEntry) => void;
}

/** Everything that is known about one line. */
export function LogDetails({ entry, onFilter }: LogDetailsProps) {
  const traceId = traceIdOf(entry);
  const json = jsonFields(entry.line);
  const pod = entry.stream.pod;
  return (
    <div className={classes.details}>
      <Group gap="md" mb={6}>
        {traceId && (
          <TextLink to="/traces/$traceId" params={{ traceId }} search={{ span: entry.metadata.span_id }} size="sm">
            Open the trace
          </TextLink>
        )}
        {pod && (
          <TextLink
            to="/explore/metrics"
            search={{ metric: "container_cpu_usage_seconds_total", filters: JSON.stringify([["pod", "=", pod]]) }}
            size="sm"
          >
            Metrics of this pod
          </TextLink>
        )}
        <CopyButton value={entry.line}>
          {({ copied, copy }) => (
            <Anchor component="button" type="button" size="sm" onClick={copy}>
              {copied ? "Copied" : "Copy the line"}
            </Anchor>
          )}
        </CopyButton>
      </Group>
      <div className={classes.groups}>
        <Section title="Stream labels" fields={entry.stream} entry={entry} onFilter={onFilter} />
        <Section
          title="Structured metadata"
          fields={entry.metadata}
          entry={entry}
          onFilter={onFilter}
          traceId={traceId}
        />
        <Section title="Parsed labels" fields={entry.parsed} entry={entry} onFilter={onFilter} />
      </div>
      {json && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        <pre className={classes.json} tabIndex={0}>
          {JSON.stringify(json, null, 2)}
        </pre>
      )}
    </div>
  );
}

interface SectionProps extends LogDetailsProps {
  title: string;
  fields: Record<string, string>;
  traceId?: string;
}

function Section({ title, fields, entry, onFilter, traceId }: SectionProps) {
  const names = Object.keys(fields).sort(byImportance);
  if (names.length === 0) return null;
  return (
    <div>
      <div className={classes.title}>{title}</div>
      <LabelList
        raw={fields}
        entries={names.map((name): [string, ReactNode] => [
          name,
          name === "trace_id" && traceId ? (
            <Link key={name} to="/traces/$traceId" params={{ traceId }}>
              {fields[name]}
            </Link>
          ) : (
            fields[name]
          ),
        ])}
        onFilter={onFilter ? (name, value, include) => onFilter(name, value, include, entry) : undefined}
      />
    </div>
  );
}
