import { Group, Table } from "@mantine/core";
import { IconArrowsLeftRight, IconCheck, IconLock } from "@tabler/icons-react";
import { TextLink } from "../../components/TextLink";
import { type DecisionRecord, type Objective, type Verdict, verdictStep } from "../../lib/autoscaling";
import { formatSeconds } from "../../lib/units";
import classes from "./DecisionDetails.module.css";
import { formatObjective } from "./objective";

/** The whole of one decision: what each objective asked for, and what each rule made of it, in order. */
export function DecisionDetails({ record }: { record: DecisionRecord }) {
  const reasons = record.objectives.some((objective) => objective.reason !== "");
  return (
    <div className={classes.details}>
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
        {record.verdicts.length === 0 ? (
          <p className={classes.none}>The record names no rules.</p>
        ) : (
          <ol className={classes.chain}>
            {record.verdicts.map((verdict, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the chain is a fixed order, and a rule may stand in it twice
              <VerdictRow key={index} verdict={verdict} />
            ))}
          </ol>
        )}
      </section>
      <Group gap="md" mt={8}>
        {record.traceId && (
          <TextLink to="/traces/$traceId" params={{ traceId: record.traceId }} size="sm">
            The tick's trace
          </TextLink>
        )}
      </Group>
    </div>
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

const ACTION_ICON = { Pass: IconCheck, Change: IconArrowsLeftRight, Hold: IconLock } as const;

function VerdictRow({ verdict }: { verdict: Verdict }) {
  const IconOf = ACTION_ICON[verdict.action as keyof typeof ACTION_ICON] ?? IconCheck;
  return (
    <li className={classes.verdict} data-action={verdict.action}>
      <span className={classes.action}>
        <IconOf size={14} stroke={2.2} aria-hidden />
        {verdict.action}
      </span>
      <span className={classes.rule}>{verdict.rule}</span>
      <span className={classes.step}>{verdictStep(verdict)}</span>
      <span className={classes.why}>{verdict.reason}</span>
    </li>
  );
}
