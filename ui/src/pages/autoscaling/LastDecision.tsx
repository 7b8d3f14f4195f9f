import { Text } from "@mantine/core";
import { useTime } from "../../app/time";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { Panel } from "../../components/Panel";
import type { DecisionRecord } from "../../lib/autoscaling";
import { formatAgo, formatDateTime } from "../../lib/time";
import { formatSeconds } from "../../lib/units";
import classes from "./LastDecision.module.css";
import { formatObjective } from "./objective";

/** The newest decision in words and figures: the answer that most people come for. */
export function LastDecision({ record }: { record: DecisionRecord }) {
  const { range, zone } = useTime();
  const figures: [string, string][] = [
    ["Ready", String(record.readyReplicas ?? "–")],
    ["Current", String(record.currentReplicas ?? "–")],
    ["Recommended", String(record.recommendedReplicas ?? "–")],
    ["Desired", String(record.desiredReplicas ?? "–")],
    ["Bounds", `${record.minReplicas ?? "–"} to ${record.maxReplicas ?? "–"}`],
  ];
  return (
    <Panel label="Last decision">
      <div className={classes.box}>
        <div className={classes.words}>
          <div className={classes.head}>
            <OutcomeBadge outcome={record.outcome} />
            <Text size="sm" c="dimmed" title={formatDateTime(record.ms, zone)}>
              {formatAgo(record.ms, range.to)}
              {record.equalTicks > 1 && `, the same for ${record.equalTicks} ticks`}
            </Text>
            <Text size="sm" c="dimmed">
              {record.mode && `${record.mode} mode`}
              {record.target.name && ` · ${record.target.kind ?? ""}/${record.target.name}`}
            </Text>
          </div>
          <p className={classes.reason}>{record.reason || "No reason was given."}</p>
        </div>
        <dl className={classes.figures}>
          {figures.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd className="num">{value}</dd>
            </div>
          ))}
          {record.objectives.map((objective) => (
            <div key={objective.name}>
              <dt>
                {objective.name}
                {objective.state && objective.state !== "Fresh" && (
                  <b className={classes.warn}> {objective.state.toLowerCase()}</b>
                )}
              </dt>
              <dd
                className="num"
                title={
                  objective.ageSeconds === null ? undefined : `newest sample ${formatSeconds(objective.ageSeconds)} old`
                }
              >
                {formatObjective(objective.value, objective.unit)}
                <span className={classes.dim}> of {formatObjective(objective.target, objective.unit)}</span>
              </dd>
            </div>
          ))}
        </dl>
      </div>
    </Panel>
  );
}
