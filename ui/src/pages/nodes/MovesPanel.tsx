import { Table } from "@mantine/core";
import { IconArrowRight } from "@tabler/icons-react";
import { useState } from "react";
import { Panel } from "../../components/Panel";
import { type FleetMove, formatMoney, isPlanned } from "../../lib/fleet";
import classes from "./NodesPage.module.css";

const SHOWN = 20;
const NAMED = 3;

interface MovesPanelProps {
  moves: FleetMove[];
  onOpen: (node: string) => void;
}

/** Nodes that are being taken away or replaced, then those that are planned to be. */
export function MovesPanel({ moves, onOpen }: MovesPanelProps) {
  const [all, setAll] = useState(false);
  const planned = moves.filter(isPlanned).length;
  const note =
    moves.length === 0 ? undefined : `${moves.length - planned} under way${planned > 0 ? `, ${planned} planned` : ""}`;
  const shown = all ? moves : moves.slice(0, SHOWN);
  return (
    <Panel title="Moves" note={note} flush>
      {moves.length === 0 ? (
        <p className={classes.none}>No node is on its way out, and none is planned to be.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        <section className={classes.scroll} tabIndex={0} aria-label="Moves of nodes">
          <Table className={classes.table} verticalSpacing={5} horizontalSpacing="md" miw={560}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th w={120}>Step</Table.Th>
                <Table.Th>Nodes, and why</Table.Th>
                <Table.Th w={60}>Pods</Table.Th>
                <Table.Th w={90}>Saves per hour</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map((move, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: a node may stand in two moves, and rows hold no state
                <Row key={index} move={move} onOpen={onOpen} />
              ))}
            </Table.Tbody>
          </Table>
          {moves.length > shown.length && (
            <button type="button" className={classes.more} onClick={() => setAll(true)}>
              Show {moves.length - shown.length} more
            </button>
          )}
        </section>
      )}
    </Panel>
  );
}

function Row({ move, onOpen }: { move: FleetMove; onOpen: (node: string) => void }) {
  return (
    <Table.Tr>
      <Table.Td>
        <span className={classes.badge} data-standing={isPlanned(move) ? undefined : "leaving"}>
          {isPlanned(move) ? "Planned" : move.step}
        </span>
        <div className={classes.aside}>{move.reason}</div>
      </Table.Td>
      <Table.Td>
        <Names names={move.remove} onOpen={onOpen} />
        {move.create.length > 0 && (
          <>
            {" "}
            <IconArrowRight size={13} role="img" aria-label="replaced by" />{" "}
            <Names names={move.create} onOpen={isPlanned(move) ? undefined : onOpen} />
          </>
        )}
        <div className={classes.aside}>
          {move.message}
          {move.policy && ` (policy ${move.policy})`}
        </div>
      </Table.Td>
      <Table.Td className={classes.number}>{move.pods}</Table.Td>
      <Table.Td className={classes.number}>{move.saving === 0 ? "–" : formatMoney(move.saving)}</Table.Td>
    </Table.Tr>
  );
}

/** Names of nodes; of planned ones there are only those of offers, which open nothing. */
function Names({ names, onOpen }: { names: string[]; onOpen?: (node: string) => void }) {
  return (
    <>
      {names.slice(0, NAMED).map((name, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two nodes of one offer have one name
        <span key={index}>
          {index > 0 && ", "}
          {onOpen ? (
            <button type="button" className={classes.link} onClick={() => onOpen(name)}>
              {name}
            </button>
          ) : (
            name
          )}
        </span>
      ))}
      {names.length > NAMED && <span className={classes.aside}> and {names.length - NAMED} more</span>}
    </>
  );
}
