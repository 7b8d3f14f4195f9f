import { SegmentedControl, Select, Table } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { Fragment, useEffect, useMemo, useRef, useState } from "react";
import { useTime } from "../../app/time";
import { OUTCOME_LABEL, OutcomeBadge } from "../../components/OutcomeBadge";
import {
  type DecisionRecord,
  type Direction,
  HORIZONTAL_OUTCOMES,
  NODE_OUTCOMES,
  occasionOf,
  SHARED_OUTCOMES,
  VERTICAL_OUTCOMES,
} from "../../lib/decision";
import { describeActions } from "../../lib/fleet";
import { changedSizes, containerName, sizeStep } from "../../lib/sizes";
import { formatRecent } from "../../lib/time";
import { DecisionDetails } from "./DecisionDetails";
import classes from "./DecisionTable.module.css";

interface DecisionTableProps {
  records: DecisionRecord[];
  /** The id of the record that is shown in whole. */
  selected?: string;
  outcome?: string;
  direction?: Direction;
  onSelect: (id: string | undefined) => void;
  onOutcome: (outcome: string | undefined) => void;
  onDirection: (direction: Direction | undefined) => void;
}

const PAGE = 100;

/** Decisions about replicas, sizes or nodes, newest first; each opens to the whole chain of rules. */
export function DecisionTable(props: DecisionTableProps) {
  const { records, selected, outcome, direction, onSelect, onOutcome, onDirection } = props;
  const { zone } = useTime();
  const [shown, setShown] = useState(PAGE);
  const filtered = useMemo(
    () =>
      records.filter(
        (record) => (!outcome || record.outcome === outcome) && (!direction || record.direction === direction),
      ),
    [records, outcome, direction],
  );
  const directions = useMemo(() => new Set(records.map((record) => record.direction)), [records]);
  const sized = directions.has("vertical");
  const fleet = directions.has("nodes");
  const at = filtered.findIndex((record) => record.id === selected);
  const row = useRef<HTMLTableRowElement>(null);
  // A mark picked on the timeline brings its row into view.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the selection is what moves the view
  useEffect(() => {
    row.current?.scrollIntoView({ block: "nearest" });
  }, [selected]);
  const visible = filtered.slice(0, Math.max(shown, at + 1));
  return (
    <>
      <div className={classes.bar}>
        {(directions.size > 1 || direction) && (
          <SegmentedControl
            size="xs"
            aria-label="What decisions are about"
            data={[
              { value: "", label: "All" },
              { value: "horizontal", label: "Replicas" },
              { value: "vertical", label: "Sizes" },
            ]}
            value={direction ?? ""}
            onChange={(next) => onDirection(next === "" ? undefined : (next as Direction))}
          />
        )}
        <Select
          size="xs"
          w={170}
          aria-label="Outcome"
          placeholder="every outcome"
          clearable
          clearButtonProps={{ "aria-label": "Every outcome" }}
          data={outcomesOf(directions).map((value) => ({ value, label: OUTCOME_LABEL[value] }))}
          value={outcome ?? null}
          onChange={(next) => onOutcome(next ?? undefined)}
        />
        <span className={classes.count}>
          {filtered.length} {filtered.length === 1 ? "record" : "records"}
        </span>
      </div>
      <Table.ScrollContainer minWidth={sized || fleet ? 960 : 720}>
        <Table className={classes.table} verticalSpacing={5} horizontalSpacing="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th w={34} aria-label="Open" />
              <Table.Th w={170}>Time</Table.Th>
              <Table.Th w={130}>Outcome</Table.Th>
              {fleet && <Table.Th w={130}>Policy</Table.Th>}
              <Table.Th w={sized ? 290 : fleet ? 190 : 110}>{changeHead(directions)}</Table.Th>
              <Table.Th>Reason</Table.Th>
              <Table.Th className={classes.right} w={110}>
                Equal ticks
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {visible.map((record) => {
              const open = record.id === selected;
              return (
                <Fragment key={record.id}>
                  <Table.Tr
                    ref={open ? row : undefined}
                    data-open={open || undefined}
                    className={classes.row}
                    onClick={() => onSelect(open ? undefined : record.id)}
                  >
                    <Table.Td>
                      <button
                        type="button"
                        className={classes.fold}
                        aria-expanded={open}
                        aria-label={`Rules of the decision at ${formatRecent(record.ms, zone)}`}
                        onClick={(event) => {
                          event.stopPropagation();
                          onSelect(open ? undefined : record.id);
                        }}
                      >
                        {open ? <IconChevronDown size={15} /> : <IconChevronRight size={15} />}
                      </button>
                    </Table.Td>
                    <Table.Td className="num">{formatRecent(record.ms, zone)}</Table.Td>
                    <Table.Td>
                      <OutcomeBadge outcome={occasionOf(record)} />
                    </Table.Td>
                    {fleet && <Table.Td>{record.name}</Table.Td>}
                    <Table.Td className="num">
                      <Change record={record} />
                    </Table.Td>
                    <Table.Td>{record.reason}</Table.Td>
                    <Table.Td className={classes.right}>{record.equalTicks > 0 ? record.equalTicks : ""}</Table.Td>
                  </Table.Tr>
                  {open && (
                    <Table.Tr className={classes.details}>
                      <Table.Td colSpan={fleet ? 7 : 6}>
                        <DecisionDetails record={record} />
                      </Table.Td>
                    </Table.Tr>
                  )}
                </Fragment>
              );
            })}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {filtered.length > visible.length && (
        <button type="button" className={classes.more} onClick={() => setShown((before) => before + PAGE)}>
          Show {Math.min(PAGE, filtered.length - visible.length)} more of {filtered.length}
        </button>
      )}
    </>
  );
}

const OUTCOMES_OF = { horizontal: HORIZONTAL_OUTCOMES, vertical: VERTICAL_OUTCOMES, nodes: NODE_OUTCOMES } as const;

/** The outcomes that decisions of these directions can have. */
function outcomesOf(directions: ReadonlySet<Direction>) {
  return [...[...directions].flatMap((direction) => OUTCOMES_OF[direction]), ...SHARED_OUTCOMES];
}

function changeHead(directions: ReadonlySet<Direction>): string {
  if (directions.size > 1) return "Change";
  return directions.has("nodes") ? "Nodes" : directions.has("vertical") ? "Sizes" : "Replicas";
}

/** What a decision would change: the number of replicas, the size that differs most, or nodes. */
function Change({ record }: { record: DecisionRecord }) {
  if (record.direction === "nodes") return describeActions(record.nodeActions) || (record.currentReplicas ?? "–");
  if (record.direction === "vertical") {
    const [first, ...more] = changedSizes(record);
    if (!first) return "–";
    return (
      <>
        <span className={classes.container}>
          {containerName(first)} {first.resource}
        </span>{" "}
        {sizeStep(first)}
        {more.length > 0 && <span className={classes.container}> and {more.length} more</span>}
      </>
    );
  }
  const { currentReplicas, desiredReplicas } = record;
  if (desiredReplicas === null || currentReplicas === desiredReplicas) return currentReplicas ?? "–";
  return `${currentReplicas ?? "–"} → ${desiredReplicas}`;
}
