import { Text } from "@mantine/core";
import { useTime } from "../../app/time";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { Panel } from "../../components/Panel";
import { type DecisionRecord, occasionOf } from "../../lib/decision";
import { differs, podResults } from "../../lib/sizes";
import { formatAgo, formatDateTime } from "../../lib/time";
import { formatPercent, formatSeconds } from "../../lib/units";
import classes from "./LastDecision.module.css";
import { formatObjective } from "./objective";

interface LastDecisionProps {
  record: DecisionRecord;
  /** What the decision is about, where there is another one about something else. */
  about?: string;
}

/** The newest decision in words and figures: the answer that most people come for. */
export function LastDecision({ record, about }: LastDecisionProps) {
  const { range, zone } = useTime();
  const figures = record.direction === "vertical" ? sizeFigures(record) : replicaFigures(record);
  return (
    <Panel label={about ? `Last decision about ${about}` : "Last decision"} className={classes.panel}>
      <div className={classes.box}>
        <div className={classes.words}>
          <div className={classes.head}>
            {about && <h2 className={classes.about}>{about}</h2>}
            <OutcomeBadge outcome={occasionOf(record)} />
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

function replicaFigures(record: DecisionRecord): [string, string][] {
  return [
    ["Ready", String(record.readyReplicas ?? "–")],
    ["Current", String(record.currentReplicas ?? "–")],
    ["Recommended", String(record.recommendedReplicas ?? "–")],
    ["Desired", String(record.desiredReplicas ?? "–")],
    ["Bounds", `${record.minReplicas ?? "–"} to ${record.maxReplicas ?? "–"}`],
  ];
}

function sizeFigures(record: DecisionRecord): [string, string][] {
  const confidences = record.sizes.flatMap(({ confidence }) => (confidence === null ? [] : [confidence]));
  const figures: [string, string][] = [
    ["Ready", `${record.readyReplicas ?? "–"} of ${record.currentReplicas ?? "–"}`],
    ["Sizes", String(record.sizes.length)],
    ["To change", String(record.sizes.filter(differs).length)],
  ];
  if (confidences.length > 0) figures.push(["Lowest confidence", formatPercent(Math.min(...confidences) * 100)]);
  if (record.pods.length > 0) figures.push(["Pods", podResults(record.pods)]);
  return figures;
}
