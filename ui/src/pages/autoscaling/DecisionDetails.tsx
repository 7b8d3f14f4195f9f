import { Group, Table } from "@mantine/core";
import { TextLink } from "../../components/TextLink";
import type { DecisionRecord, Objective } from "../../lib/decision";
import { formatSeconds } from "../../lib/units";
import classes from "./DecisionDetails.module.css";
import { NodeDecision } from "./NodeDecision";
import { formatObjective } from "./objective";
import { SizeDecision } from "./SizeDecision";
import { Verdicts } from "./Verdicts";

/** The whole of one decision, and the trace of the tick that made it. */
export function DecisionDetails({ record }: { record: DecisionRecord }) {
  return (
    <div className={classes.details}>
      {record.direction === "nodes" ? (
        <NodeDecision record={record} />
      ) : record.direction === "vertical" ? (
        <SizeDecision record={record} />
      ) : (
        <ReplicaDecision record={record} />
      )}
      {record.traceId && (
        <Group gap="md" mt={8}>
          <TextLink to="/traces/$traceId" params={{ traceId: record.traceId }} size="sm">
            The tick's trace
          </TextLink>
        </Group>
      )}
    </div>
  );
}

/** What each objective asked for, and what each rule made of it, in order. */
function ReplicaDecision({ record }: { record: DecisionRecord }) {
  const reasons = record.objectives.some((objective) => objective.reason !== "");
  return (
    <>
      {record.objectives.length > 0 && (
        <section aria-label="Objectives">
          <h3 className={classes.title}>What the signals asked for</h3>
          <Table className={classes.table} verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Objective</Table.Th>
                <Table.Th>Value</Table.Th>
                <Table.Th>Target</Table.Th>
                <Table.Th>Asks for</Table.Th>
                <Table.Th>Freshness</Table.Th>
                {reasons && <Table.Th>Reason</Table.Th>}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {record.objectives.map((objective) => (
                <ObjectiveRow key={objective.name} objective={objective} reasons={reasons} />
              ))}
            </Table.Tbody>
          </Table>
        </section>
      )}
      <section aria-label="Rules">
        <h3 className={classes.title}>What the rules made of it</h3>
        <Verdicts verdicts={record.verdicts} none="The record names no rules." />
      </section>
    </>
  );
}

function ObjectiveRow({ objective, reasons }: { objective: Objective; reasons: boolean }) {
  const age = objective.ageSeconds === null ? "" : `, ${formatSeconds(objective.ageSeconds)} old`;
  const stale = objective.state !== "" && objective.state !== "Fresh";
  return (
    <Table.Tr>
      <Table.Td>
        <b>{objective.name}</b> <span className={classes.dim}>{objective.kind}</span>
        {objective.query && <ObjectiveQuery objective={objective} />}
      </Table.Td>
      <Table.Td className="num">{formatObjective(objective.value, objective.unit)}</Table.Td>
      <Table.Td className="num">
        {formatObjective(objective.target, objective.unit)}
        {objective.per === "Replica" && <span className={classes.dim}> per replica</span>}
      </Table.Td>
      <Table.Td className="num">{objective.replicas ?? "–"}</Table.Td>
      <Table.Td className={stale ? classes.warn : undefined}>
        {objective.state || "–"}
        {age}
      </Table.Td>
      {reasons && <Table.Td>{objective.reason}</Table.Td>}
    </Table.Tr>
  );
}

function ObjectiveQuery({ objective }: { objective: Objective }) {
  const to = objective.kind === "LogQL" ? "/explore/logs" : "/explore/metrics";
  return (
    <div>
      <TextLink to={to} search={{ expr: objective.query }} className={classes.query} title="Open in the explorer">
        {objective.query}
      </TextLink>
    </div>
  );
}
