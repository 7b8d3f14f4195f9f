import { useMemo, useState } from "react";
import { Panel } from "../../components/Panel";
import { groupPending, type PendingGroup, type PendingPod } from "../../lib/fleet";
import { formatInteger } from "../../lib/units";
import classes from "./NodesPage.module.css";
import own from "./PendingPanel.module.css";

const NAMED = 3;

interface PendingPanelProps {
  pending: PendingPod[];
  count: number;
  onOpen: (node: string) => void;
}

/** Pods without a node: where they are going, or why they cannot go anywhere. */
export function PendingPanel({ pending, count, onOpen }: PendingPanelProps) {
  const groups = useMemo(() => groupPending(pending), [pending]);
  const note =
    count === 0
      ? undefined
      : pending.length < count
        ? `the first ${formatInteger(pending.length)} of ${formatInteger(count)}`
        : formatInteger(count);
  return (
    <Panel title="Pods without a node" note={note} flush>
      {groups.length === 0 ? (
        <p className={classes.none}>
          {count === 0 ? "Every pod has a node." : `${formatInteger(count)} pods wait; none was named.`}
        </p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        <section className={classes.scroll} tabIndex={0} aria-label="Pods that wait">
          <ul className={own.groups}>
            {groups.map((group) => (
              <Group key={group.key} group={group} onOpen={onOpen} />
            ))}
          </ul>
        </section>
      )}
    </Panel>
  );
}

function Group({ group, onOpen }: { group: PendingGroup; onOpen: (node: string) => void }) {
  const [all, setAll] = useState(false);
  const { namespace, placed, reasons, pods } = group;
  const shown = all ? pods : pods.slice(0, NAMED);
  return (
    <li className={own.group} data-placed={placed || undefined}>
      <div className={own.head}>
        <b>
          {formatInteger(pods.length)} {pods.length === 1 ? "pod" : "pods"} in {namespace}
        </b>
        <span className={placed ? classes.good : classes.warn}>
          {placed ? "have a node to go to" : reasons.length > 0 ? "cannot be placed" : "wait for a plan"}
        </span>
      </div>
      {reasons.length > 0 && (
        <ul className={own.reasons}>
          {reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
      <div className={own.pods}>
        {shown.map((pod) => (
          <span key={pod.name}>
            {pod.name}
            {pod.node && (
              <>
                {" → "}
                <button type="button" className={classes.link} onClick={() => onOpen(pod.node)}>
                  {pod.node}
                </button>
              </>
            )}
          </span>
        ))}
        {pods.length > shown.length && (
          <button type="button" className={classes.link} onClick={() => setAll(true)}>
            and {formatInteger(pods.length - shown.length)} more
          </button>
        )}
      </div>
    </li>
  );
}
