import { Table } from "@mantine/core";
import { useTime } from "../../app/time";
import { Meter } from "../../components/Meter";
import { OutcomeBadge } from "../../components/OutcomeBadge";
import { Panel } from "../../components/Panel";
import { OUTCOMES, type Outcome } from "../../lib/decision";
import { type FleetPolicy, formatMoney } from "../../lib/fleet";
import { formatRecent } from "../../lib/time";
import classes from "./NodesPage.module.css";

interface PoliciesPanelProps {
  policies: FleetPolicy[];
  onPick: (name: string) => void;
}

/** Each policy: its nodes, its last decision, and how far the renewal of its nodes has come. */
export function PoliciesPanel({ policies, onPick }: PoliciesPanelProps) {
  return (
    <Panel title="Policies" note={policies.length > 0 ? String(policies.length) : undefined} flush>
      {policies.length === 0 ? (
        <p className={classes.none}>
          No <code>NodePolicy</code> exists: the nodes are shown, none is bought and none is given back.
        </p>
      ) : (
        <Table.ScrollContainer minWidth={900}>
          <Table className={classes.table} verticalSpacing={6} horizontalSpacing="md">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Policy</Table.Th>
                <Table.Th w={110}>Nodes ready</Table.Th>
                <Table.Th w={110}>Cost per hour</Table.Th>
                <Table.Th w={250}>Renewal of nodes</Table.Th>
                <Table.Th>Last decision</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {policies.map((policy) => (
                <Row key={policy.name} policy={policy} onPick={onPick} />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Panel>
  );
}

function Row({ policy, onPick }: { policy: FleetPolicy; onPick: (name: string) => void }) {
  const { name, mode, provider, nodes, ready, unhealthy, cost, outcome, reason } = policy;
  return (
    <Table.Tr>
      <Table.Td>
        <button type="button" className={classes.link} onClick={() => onPick(name)} title="Show its nodes only">
          {name}
        </button>
        <div className={classes.aside}>{[mode && `${mode} mode`, provider].filter(Boolean).join(" · ")}</div>
      </Table.Td>
      <Table.Td className={classes.number}>
        {ready} of {nodes}
        {unhealthy > 0 && <div className={classes.bad}>{unhealthy} unhealthy</div>}
      </Table.Td>
      <Table.Td className={classes.number}>{formatMoney(cost)}</Table.Td>
      <Table.Td>
        <Upgrade policy={policy} />
      </Table.Td>
      <Table.Td>
        {outcome && <OutcomeBadge outcome={outcomeOf(outcome)} />}
        <div>{reason || (outcome ? "" : "nothing was decided yet")}</div>
      </Table.Td>
    </Table.Tr>
  );
}

function outcomeOf(text: string): Outcome {
  return (OUTCOMES as readonly string[]).includes(text) ? (text as Outcome) : "Unknown";
}

function Upgrade({ policy: { name, upgrade } }: { policy: FleetPolicy }) {
  const { zone } = useTime();
  if (!upgrade) return <span className={classes.aside}>nothing to renew</span>;
  const { total, updated, estimatedCompletion, paused } = upgrade;
  return (
    <>
      <Meter
        value={updated}
        of={total}
        plain
        text={`${updated} of ${total} as the template says`}
        label={`Nodes of ${name} that are as its template says`}
      />
      {paused ? (
        <div className={classes.warn}>Paused: {paused}</div>
      ) : (
        estimatedCompletion !== null && (
          <div className={classes.aside}>done at about {formatRecent(estimatedCompletion, zone)}</div>
        )
      )}
    </>
  );
}
