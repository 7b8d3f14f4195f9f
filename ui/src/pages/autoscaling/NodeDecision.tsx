import { Table } from "@mantine/core";
import { TextLink } from "../../components/TextLink";
import type { DecisionRecord, NodeAction } from "../../lib/decision";
import { formatMoney } from "../../lib/fleet";
import classes from "./DecisionDetails.module.css";
import { Verdicts } from "./Verdicts";

const SHOWN = 50;

/** What was done to nodes and for which pods, what it costs, and which pods no node may be bought for. */
export function NodeDecision({ record }: { record: DecisionRecord }) {
  const { nodeActions, nodeCost, withoutNode, withoutNodeCount, verdicts } = record;
  return (
    <>
      {nodeCost && (
        <p className={classes.dim}>
          All nodes together cost {formatMoney(nodeCost.before)} per hour
          {nodeCost.after !== nodeCost.before && `, then ${formatMoney(nodeCost.after)}`}
          {(nodeCost.lowerBound ?? 0) > 0 &&
            `; no set of nodes for the same pods can cost less than ${formatMoney(nodeCost.lowerBound)}`}
          .
        </p>
      )}
      <section aria-label="Nodes">
        <h3 className={classes.title}>What was done to nodes</h3>
        {nodeActions.length === 0 ? (
          <p className={classes.dim}>No node was acted on.</p>
        ) : (
          <Table className={classes.table} verticalSpacing={4}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Action</Table.Th>
                <Table.Th>Node</Table.Th>
                <Table.Th>Offer</Table.Th>
                <Table.Th>Price per hour</Table.Th>
                <Table.Th>Pods</Table.Th>
                <Table.Th>Reason</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {nodeActions.slice(0, SHOWN).map((action, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a record never changes, and a node may stand in it twice
                <ActionRow key={index} action={action} />
              ))}
            </Table.Tbody>
          </Table>
        )}
        {nodeActions.length > SHOWN && <p className={classes.dim}>and {nodeActions.length - SHOWN} more</p>}
      </section>
      {withoutNodeCount > 0 && (
        <section aria-label="Pods without a node">
          <h3 className={classes.title}>
            {withoutNodeCount} {withoutNodeCount === 1 ? "pod" : "pods"} that no node may be bought for
          </h3>
          <Table className={classes.table} verticalSpacing={4}>
            <Table.Tbody>
              {withoutNode.map(({ pod, reasons }) => (
                <Table.Tr key={pod}>
                  <Table.Td className={classes.query}>{pod}</Table.Td>
                  <Table.Td>{reasons.join("; ")}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </section>
      )}
      {verdicts.length > 0 && (
        <section aria-label="Rules">
          <h3 className={classes.title}>What the rules said about the policy as a whole</h3>
          <Verdicts verdicts={verdicts} none="" />
        </section>
      )}
    </>
  );
}

function ActionRow({ action }: { action: NodeAction }) {
  const name = action.node || action.claim;
  const { pods, podCount } = action;
  return (
    <Table.Tr>
      <Table.Td>
        <b>{action.action}</b>
      </Table.Td>
      <Table.Td>
        {name ? (
          <TextLink to="/nodes" search={(previous: object) => ({ ...previous, node: name })} size="sm">
            {name}
          </TextLink>
        ) : (
          "–"
        )}
      </Table.Td>
      <Table.Td>{[action.offer, action.zone, action.capacityType].filter(Boolean).join(" · ") || "–"}</Table.Td>
      <Table.Td className={classes.number}>{formatMoney(action.pricePerHour)}</Table.Td>
      <Table.Td title={pods.join("\n")} className={classes.number}>
        {podCount > 0 ? podCount : "–"}
      </Table.Td>
      <Table.Td>{action.reason}</Table.Td>
    </Table.Tr>
  );
}
