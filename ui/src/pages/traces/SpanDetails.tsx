import { ActionIcon, Group, Text, Tooltip } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { LabelList } from "../../components/LabelList";
import { Panel } from "../../components/Panel";
import { TextLink } from "../../components/TextLink";
import { streamSelector } from "../../lib/logql";
import type { LogEntry } from "../../lib/logs";
import { type SpanNode, type SpanTag, selfTime, type TraceModel } from "../../lib/trace";
import { formatSeconds } from "../../lib/units";
import { LogList } from "../logs/LogList";
import classes from "./SpanDetails.module.css";

interface SpanDetailsProps {
  node: SpanNode;
  model: TraceModel;
  logs: LogEntry[];
  onClose: () => void;
  onSelect: (spanId: string) => void;
}

/** Everything that one span says. */
export function SpanDetails({ node, model, logs, onClose, onSelect }: SpanDetailsProps) {
  const { span } = node;
  const parent = span.parentId ? model.byId.get(span.parentId) : undefined;
  const offset = (us: number) => formatSeconds((us - model.start) / 1e6);
  return (
    <Panel
      flush
      className={classes.panel}
      title={span.name}
      label={`Span ${span.name}`}
      aside={
        <Tooltip label="Close (Esc)">
          <ActionIcon onClick={onClose} aria-label="Close the span">
            <IconX size={16} />
          </ActionIcon>
        </Tooltip>
      }
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section className={classes.scroll} tabIndex={0} aria-label="Details of the span">
        <Group gap="xs" mb="xs">
          <Text fw={600} size="sm">
            {span.service}
          </Text>
          {span.kind && (
            <Text size="sm" c="dimmed">
              {span.kind}
            </Text>
          )}
          {span.error && (
            <Text size="sm" className={classes.bad}>
              error{span.statusMessage ? `: ${span.statusMessage}` : ""}
            </Text>
          )}
        </Group>
        <LabelList
          entries={[
            ["duration", formatSeconds(span.duration / 1e6)],
            ["in the span itself", formatSeconds(selfTime(node) / 1e6)],
            ["starts after", offset(span.start)],
            ["span id", span.spanId],
            ...(span.parentId
              ? ([
                  [
                    "parent",
                    parent ? (
                      <button
                        key="parent"
                        type="button"
                        className={classes.link}
                        onClick={() => onSelect(parent.span.spanId)}
                      >
                        {parent.span.service} {parent.span.name}
                      </button>
                    ) : (
                      `${span.parentId} (not received)`
                    ),
                  ],
                ] as [string, ReactNode][])
              : []),
          ]}
          raw={span.parentId ? { parent: span.parentId } : undefined}
        />
        {span.warnings.map((warning) => (
          <Text key={warning} size="sm" c="var(--text-warn)">
            {warning}
          </Text>
        ))}
        <Tags title="Attributes" tags={span.tags} />
        {span.events.length > 0 && (
          <>
            <h3 className={classes.title}>Events</h3>
            {span.events.map((event, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: events have no identity and never move
              <div key={index} className={classes.event}>
                <Text size="xs" c="dimmed" className="num">
                  after {offset(event.time)}
                </Text>
                <LabelList entries={event.fields.map((field): [string, string] => [field.key, String(field.value)])} />
              </div>
            ))}
          </>
        )}
        {logs.length > 0 && (
          <>
            <h3 className={classes.title}>Logs of this span</h3>
            <div className={classes.logs}>
              <LogList entries={logs} wrap shownLabels={[]} maxHeight={260} label="Log lines of this span" />
            </div>
          </>
        )}
        <Tags title="Process" tags={span.process} />
        <Group gap="md" mt="sm">
          <TextLink
            size="sm"
            to="/explore/logs"
            search={{
              expr: streamSelector([{ label: "service_name", op: "=", value: span.service }]),
              from: String(Math.floor(span.start / 1000) - 60_000),
              to: String(Math.ceil((span.start + span.duration) / 1000) + 60_000),
            }}
          >
            Logs of {span.service} around it
          </TextLink>
          <TextLink size="sm" to="/traces" search={{ service: span.service, operation: span.name }}>
            More of this operation
          </TextLink>
        </Group>
      </section>
    </Panel>
  );
}

function Tags({ title, tags }: { title: string; tags: SpanTag[] }) {
  if (tags.length === 0) return null;
  return (
    <>
      <h3 className={classes.title}>{title}</h3>
      <LabelList entries={dedupe(tags).map((tag): [string, string] => [tag.key, String(tag.value)])} />
    </>
  );
}

/** One row per key: a sender may repeat one, and the last value is the one that OpenTelemetry keeps. */
function dedupe(tags: SpanTag[]): SpanTag[] {
  return [...new Map(tags.map((tag) => [tag.key, tag])).values()];
}
