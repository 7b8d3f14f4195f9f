// Cells that tables of sizes share.

import { Table } from "@mantine/core";
import type { Size } from "../../lib/decision";
import { changeOf, formatSize } from "../../lib/sizes";
import { formatPercent } from "../../lib/units";
import classes from "./SizeCells.module.css";

interface AmountProps {
  request: number | null;
  limit: number | null;
  resource: string;
  change?: number | null;
}

/** A request, with its limit below it. */
function Amount({ request, limit, resource, change }: AmountProps) {
  return (
    <>
      <b>{formatSize(request, resource)}</b>
      {change !== undefined && change !== null && <span className={classes.change}>{formatChange(change)}</span>}
      <div className={classes.limit}>{limit === null ? "no limit" : `limit ${formatSize(limit, resource)}`}</div>
    </>
  );
}

/** What a container has: the request and limit in force. */
export function HasCell({ size }: { size: Size }) {
  return (
    <Table.Td className={classes.cell}>
      <Amount request={size.request} limit={size.limit} resource={size.resource} />
    </Table.Td>
  );
}

/** What a container should have, and how far that is from what it has. */
export function ShouldCell({ size }: { size: Size }) {
  if (size.desired === null) return <Table.Td className={classes.cell}>–</Table.Td>;
  return (
    <Table.Td className={classes.cell}>
      <Amount request={size.desired} limit={size.desiredLimit} resource={size.resource} change={changeOf(size)} />
    </Table.Td>
  );
}

function formatChange(change: number): string {
  // More than twofold is read more easily as a factor.
  if (change >= 1) return `× ${Number((1 + change).toPrecision(2))}`;
  return `${change > 0 ? "+" : "−"}${formatPercent(Math.abs(change) * 100)}`;
}

/** The estimator, and what it asks for by itself. */
export function ModelCell({ size }: { size: Size }) {
  return (
    <Table.Td className={classes.cell}>
      {size.model || "–"}
      {size.recommended !== null && (
        <div className={classes.limit}>asks for {formatSize(size.recommended, size.resource)}</div>
      )}
    </Table.Td>
  );
}

/** Confidence in percent, and the state of the signal where it is not fresh. */
export function ConfidenceCell({ size }: { size: Size }) {
  const stale = size.state !== "" && size.state !== "Fresh";
  return (
    <Table.Td className={classes.cell}>
      {size.confidence === null ? "–" : formatPercent(size.confidence * 100)}
      {stale && <div className={classes.stale}>usage {size.state.toLowerCase()}</div>}
    </Table.Td>
  );
}
