import { Table } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { Fragment, useState } from "react";
import type { DecisionRecord, PodAction, Size } from "../../lib/decision";
import { changedSizes, containerName, formatSize, sizeKey } from "../../lib/sizes";
import classes from "./DecisionDetails.module.css";
import { ConfidenceCell, HasCell, ModelCell, ShouldCell } from "./SizeCells";
import { Verdicts } from "./Verdicts";

/** What a decision said about each size, rule by rule, about the target as a whole, and what was done to pods. */
export function SizeDecision({ record }: { record: DecisionRecord }) {
  return (
    <>
      {record.sizes.length > 0 && (
        <section aria-label="Rules about sizes">
          <h3 className={classes.title}>What the rules made of each size</h3>
          <Sizes record={record} />
        </section>
      )}
      <section aria-label="Rules">
        <h3 className={classes.title}>What the rules said about the target as a whole</h3>
        <Verdicts verdicts={record.verdicts} write={pods} none="The record names no rules about the whole target." />
      </section>
      <section aria-label="Pods">
        <h3 className={classes.title}>What was done to pods</h3>
        {record.pods.length === 0 ? <p className={classes.none}>No pod was acted on.</p> : <Pods pods={record.pods} />}
      </section>
    </>
  );
}

// Most of these rules are about no pods in particular, and say so with a zero.
const pods = (count: number) => (count === 0 ? "" : `${count} ${count === 1 ? "pod" : "pods"}`);

function Sizes({ record }: { record: DecisionRecord }) {
  // What changes most is what people ask about.
  const first = changedSizes(record)[0] ?? record.sizes[0];
  const [open, setOpen] = useState<ReadonlySet<string>>(() => new Set(first ? [sizeKey(first)] : []));
  const toggle = (key: string) =>
    setOpen((before) => {
      const next = new Set(before);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  return (
    <Table className={classes.table} verticalSpacing={4}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th w={34} aria-label="Open" />
          <Table.Th>Container</Table.Th>
          <Table.Th>Resource</Table.Th>
          <Table.Th>Used</Table.Th>
          <Table.Th>Had</Table.Th>
          <Table.Th>Should have</Table.Th>
          <Table.Th>Model</Table.Th>
          <Table.Th>Confidence</Table.Th>
          <Table.Th>Reason</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {record.sizes.map((size) => {
          const key = sizeKey(size);
          return <SizeRows key={key} size={size} open={open.has(key)} onToggle={() => toggle(key)} />;
        })}
      </Table.Tbody>
    </Table>
  );
}

function SizeRows({ size, open, onToggle }: { size: Size; open: boolean; onToggle: () => void }) {
  return (
    <Fragment>
      <Table.Tr>
        <Table.Td>
          <button
            type="button"
            className={classes.fold}
            aria-expanded={open}
            aria-label={`Rules about ${size.resource} of ${containerName(size)}`}
            onClick={onToggle}
          >
            {open ? <IconChevronDown size={15} /> : <IconChevronRight size={15} />}
          </button>
        </Table.Td>
        <Table.Td>
          <b>{containerName(size)}</b>
        </Table.Td>
        <Table.Td>{size.resource}</Table.Td>
        <Table.Td className={classes.number}>{formatSize(size.usage, size.resource)}</Table.Td>
        <HasCell size={size} />
        <ShouldCell size={size} />
        <ModelCell size={size} />
        <ConfidenceCell size={size} />
        <Table.Td>{size.reason || "–"}</Table.Td>
      </Table.Tr>
      {open && (
        <Table.Tr>
          <Table.Td />
          <Table.Td colSpan={8}>
            <Verdicts
              verdicts={size.verdicts}
              write={(value) => formatSize(value, size.resource)}
              none="The record names no rules about this size."
            />
          </Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  );
}

const METHOD: Record<string, string> = {
  InPlace: "resize of the running pod",
  Evict: "eviction",
  Surge: "rollout of the workload",
  Create: "size of a new pod",
};

function Pods({ pods }: { pods: PodAction[] }) {
  return (
    <Table className={classes.table} verticalSpacing={4}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Pod</Table.Th>
          <Table.Th>Method</Table.Th>
          <Table.Th>Result</Table.Th>
          <Table.Th>Reason</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {pods.map((action, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a pod may be acted on twice, and the list does not change
          <Table.Tr key={index}>
            <Table.Td className={classes.query}>{action.pod}</Table.Td>
            <Table.Td>
              {action.method || "–"}
              {METHOD[action.method] && <span className={classes.dim}> {METHOD[action.method]}</span>}
            </Table.Td>
            <Table.Td className={action.result === "Done" ? undefined : classes.warn}>
              {action.result || "–"}
              {action.code && <span className={classes.dim}> {action.code}</span>}
            </Table.Td>
            <Table.Td>{action.reason || "–"}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
