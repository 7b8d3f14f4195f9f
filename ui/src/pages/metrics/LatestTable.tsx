import { ActionIcon, CopyButton, Skeleton, Table, Text } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useMemo } from "react";
import { usePromInstant } from "../../api/hooks";
import { useTime } from "../../app/time";
import { QueryError } from "../../components/QueryError";
import { unitOfQuery } from "../../lib/promql";
import { byImportance, formatLabels } from "../../lib/series";
import { formatDateTime } from "../../lib/time";
import { formatValue } from "../../lib/units";
import classes from "./LatestTable.module.css";

const SHOWN = 200;

/** The newest value of each series at the end of the range, with every label in a column of its own. */
export function LatestTable({ expr }: { expr: string }) {
  const { range, zone } = useTime();
  const answer = usePromInstant(expr);
  const unit = unitOfQuery(expr);
  const columns = useMemo(() => {
    const names = new Set((answer.data?.data ?? []).flatMap((sample) => Object.keys(sample.labels)));
    return [...names].sort(byImportance);
  }, [answer.data]);
  if (answer.error) return <QueryError error={answer.error} what="The table" />;
  if (!answer.data) return <Skeleton h={200} />;
  const rows = [...answer.data.data].sort((a, b) => b.value - a.value);
  return (
    <>
      <Text size="xs" c="dimmed" mb={6} className="num">
        As of {formatDateTime(range.to, zone)}
        {rows.length > SHOWN ? `, the ${SHOWN} largest of ${rows.length}` : ""}
      </Text>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard */}
      <section className={classes.scroll} tabIndex={0} aria-label="Latest values">
        <Table className={classes.table} verticalSpacing={4} striped={false}>
          <Table.Thead>
            <Table.Tr>
              {columns.map((name) => (
                <Table.Th key={name}>{name}</Table.Th>
              ))}
              <Table.Th className={classes.value}>Value</Table.Th>
              <Table.Th w={30} aria-label="Copy" />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.slice(0, SHOWN).map((sample) => {
              const text = formatLabels(sample.labels);
              return (
                <Table.Tr key={text}>
                  {columns.map((name) => (
                    <Table.Td key={name}>{sample.labels[name] ?? ""}</Table.Td>
                  ))}
                  <Table.Td className={classes.value} title={String(sample.value)}>
                    {formatValue(sample.value, unit)}
                  </Table.Td>
                  <Table.Td>
                    <CopyButton value={`${text} ${sample.value}`}>
                      {({ copied, copy }) => (
                        <ActionIcon size="xs" onClick={copy} aria-label={`Copy ${text}`}>
                          {copied ? <IconCheck size={12} /> : <IconCopy size={12} />}
                        </ActionIcon>
                      )}
                    </CopyButton>
                  </Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </section>
    </>
  );
}
