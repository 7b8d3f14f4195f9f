import { Panel } from "../../components/Panel";
import { type Fleet, formatMoney, summarizeFleet } from "../../lib/fleet";
import { formatInteger, formatSeconds, formatValue } from "../../lib/units";
import classes from "./NodesPage.module.css";

/** The fleet in figures. */
export function FleetSummary({ fleet }: { fleet: Fleet }) {
  const { nodes, standings, cpu, memory, above } = summarizeFleet(fleet);
  const parts = [
    `${formatInteger(standings.ready)} ready`,
    standings.making > 0 && `${formatInteger(standings.making)} being made`,
    standings.leaving > 0 && `${formatInteger(standings.leaving)} leaving`,
  ].filter(Boolean);
  const pods = fleet.pendingCount;
  return (
    <Panel label="The fleet in figures">
      <dl className={classes.figures}>
        <div>
          <dt>Nodes</dt>
          <dd>{formatInteger(nodes)}</dd>
          <dd className={classes.aside}>
            {parts.join(", ")}
            {standings.unready > 0 && (
              <span className={classes.bad}>, {formatInteger(standings.unready)} not ready</span>
            )}
          </dd>
        </div>
        <div>
          <dt>Requested by pods</dt>
          <dd>{formatValue(cpu, "ratio")}</dd>
          <dd className={classes.aside}>of CPU, and {formatValue(memory, "ratio")} of memory</dd>
        </div>
        <div>
          <dt>Cost per hour</dt>
          <dd>{formatMoney(fleet.cost)}</dd>
          <dd className={classes.aside}>all nodes together</dd>
        </div>
        <div>
          <dt>Lower bound</dt>
          <dd>{fleet.lowerBound > 0 ? formatMoney(fleet.lowerBound) : "–"}</dd>
          <dd className={classes.aside}>
            {above === null ? "not known yet" : `the cost is ${formatValue(Math.max(0, above), "ratio")} above it`}
          </dd>
        </div>
        <div>
          <dt>Pods without a node</dt>
          <dd className={pods > 0 ? classes.warn : undefined}>{formatInteger(pods)}</dd>
          <dd className={classes.aside}>the newest plan took {formatSeconds(fleet.planSeconds)}</dd>
        </div>
      </dl>
    </Panel>
  );
}
