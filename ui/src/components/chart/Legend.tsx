import { Table, UnstyledButton } from "@mantine/core";
import { useMemo } from "react";
import { summarize } from "../../lib/series";
import { formatValue, type Unit } from "../../lib/units";
import classes from "./Legend.module.css";
import type { ChartSeries } from "./options";

interface LegendProps {
  series: ChartSeries[];
  unit: Unit;
  onToggle: (name: string, only: boolean) => void;
  onHighlight: (name: string | undefined) => void;
  maxHeight?: number;
}

/** A legend as a table, so that the figures line up. A click hides a series, a click with Ctrl or Cmd shows only it. */
export function Legend({ series, unit, onToggle, onHighlight, maxHeight = 180 }: LegendProps) {
  const rows = useMemo(() => series.map((entry) => ({ entry, summary: summarize(entry.values) })), [series]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section style={{ maxHeight, overflow: "auto" }} aria-label="Legend" tabIndex={0}>
      <Table className={classes.legend} horizontalSpacing={8} verticalSpacing={1}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Series</Table.Th>
            <Table.Th className={classes.number}>Last</Table.Th>
            <Table.Th className={classes.number}>Mean</Table.Th>
            <Table.Th className={classes.number}>Min</Table.Th>
            <Table.Th className={classes.number}>Max</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map(({ entry, summary }, index) => (
            <Table.Tr
              // biome-ignore lint/suspicious/noArrayIndexKey: two series may share a name, and rows hold no state
              key={index}
              data-off={entry.hidden || undefined}
              onMouseEnter={() => onHighlight(entry.name)}
              onMouseLeave={() => onHighlight(undefined)}
            >
              <Table.Td className={classes.name}>
                <UnstyledButton
                  className={classes.toggle}
                  onClick={(event) => onToggle(entry.name, event.ctrlKey || event.metaKey)}
                  aria-pressed={!entry.hidden}
                  title={entry.name}
                >
                  <span className={classes.swatch} style={{ background: entry.color }} />
                  <span className="ellipsis">{entry.name}</span>
                </UnstyledButton>
              </Table.Td>
              {[summary.last, summary.mean, summary.min, summary.max].map((value, column) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: four fixed columns
                <Table.Td key={column} className={classes.number}>
                  {formatValue(value, unit)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </section>
  );
}
