import { Table } from "@mantine/core";
import { Meter } from "../../components/Meter";
import type { Size } from "../../lib/decision";
import { containerName, formatSize, sizeKey } from "../../lib/sizes";
import { ConfidenceCell, HasCell, ModelCell, ShouldCell } from "./SizeCells";
import classes from "./SizesTable.module.css";

// Without a link or a button in it, a table that scrolls must be reachable by keyboard itself.
const SCROLLS = { viewportProps: { tabIndex: 0, role: "region", "aria-label": "Table of sizes" } };

/** What each container uses, has and should have, by whose estimate, and what decided. */
export function SizesTable({ sizes }: { sizes: Size[] }) {
  return (
    <Table.ScrollContainer minWidth={980} scrollAreaProps={SCROLLS}>
      <Table className={classes.table} verticalSpacing={5} horizontalSpacing="sm">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Container</Table.Th>
            <Table.Th>Resource</Table.Th>
            <Table.Th w={130}>Uses</Table.Th>
            <Table.Th w={120}>Has</Table.Th>
            <Table.Th w={165}>Should have</Table.Th>
            <Table.Th w={150}>Model</Table.Th>
            <Table.Th w={100}>Confidence</Table.Th>
            <Table.Th>Reason</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {sizes.map((size) => (
            <Table.Tr key={sizeKey(size)}>
              <Table.Th scope="row" className={classes.container}>
                {containerName(size)}
              </Table.Th>
              <Table.Td>{size.resource}</Table.Td>
              <Table.Td>
                <Meter
                  plain
                  value={size.usage ?? 0}
                  of={size.usage === null ? undefined : (size.request ?? undefined)}
                  text={formatSize(size.usage, size.resource)}
                  label={`${size.resource} of ${containerName(size)} used of the request`}
                />
              </Table.Td>
              <HasCell size={size} />
              <ShouldCell size={size} />
              <ModelCell size={size} />
              <ConfidenceCell size={size} />
              <Table.Td className={classes.reason}>{size.reason || "–"}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
