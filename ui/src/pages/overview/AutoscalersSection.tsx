import { Skeleton } from "@mantine/core";
import { IconArrowsMaximize } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { useAutoscalers } from "../../api/autoscaling";
import { useTime } from "../../app/time";
import { EmptyState } from "../../components/EmptyState";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { Panel } from "../../components/Panel";
import { QueryError } from "../../components/QueryError";
import { Replicas } from "../../components/Replicas";
import { TextLink } from "../../components/TextLink";
import { headline } from "../../lib/autoscaling";
import { occasionOf } from "../../lib/decision";
import { formatAgo } from "../../lib/time";
import classes from "./AutoscalersSection.module.css";

/** What the autoscalers did last, and why, in one line each. */
export function AutoscalersSection() {
  const { list, isPending, error } = useAutoscalers();
  const { range } = useTime();
  return (
    <Panel
      title="Autoscalers"
      note={list.length > 0 ? String(list.length) : undefined}
      flush
      aside={
        <TextLink to="/autoscaling" size="xs">
          All decisions
        </TextLink>
      }
    >
      {error ? (
        <QueryError error={error} what="The autoscaler's records" />
      ) : isPending ? (
        <Skeleton h={90} m="sm" />
      ) : list.length === 0 ? (
        <EmptyState icon={IconArrowsMaximize} title="No autoscaler has reported" height={120}>
          Give Yagura a cluster (<code>yagura up --kubeconfig FILE</code>) and create a <code>WorkloadAutoscaler</code>.
          Its decisions appear here.
        </EmptyState>
      ) : (
        <ul className={classes.list}>
          {list.map((entry) => {
            const latest = headline(entry);
            return (
              <li key={entry.key}>
                <Link
                  to="/autoscaling/$namespace/$name"
                  params={{ namespace: entry.namespace, name: entry.name }}
                  className={classes.row}
                >
                  <span className={classes.name}>
                    <span className={classes.namespace}>{entry.namespace}/</span>
                    {entry.name}
                  </span>
                  <Replicas current={entry.current} desired={entry.desired} min={entry.min} max={entry.max} />
                  {latest && <OutcomeBadge outcome={occasionOf(latest)} />}
                  <span className={classes.reason}>{latest?.reason ?? "no record in the last minutes"}</span>
                  {latest && <span className={classes.ago}>{formatAgo(latest.ms, range.to)}</span>}
                </Link>
              </li>
            );
          })}
        </ul>
      )}
    </Panel>
  );
}
