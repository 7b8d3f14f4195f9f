import { Group, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./Panel.module.css";

interface PanelProps {
  title?: ReactNode;
  note?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  /** No inner padding: for tables and lists that go edge to edge. */
  flush?: boolean;
  className?: string;
  label?: string;
}

/** A surface with a heading. */
export function Panel({ title, note, aside, children, flush, className, label }: PanelProps) {
  return (
    <section
      className={`${classes.panel} ${className ?? ""}`}
      aria-label={label ?? (typeof title === "string" ? title : undefined)}
    >
      {(title || aside) && (
        <Group justify="space-between" gap="sm" className={classes.head} wrap="nowrap">
          <Group gap="xs" wrap="nowrap" miw={0} align="baseline">
            {title && (
              <Title order={2} className={classes.title}>
                {title}
              </Title>
            )}
            {note && (
              <Text size="xs" c="dimmed" className="ellipsis">
                {note}
              </Text>
            )}
          </Group>
          {aside}
        </Group>
      )}
      <div className={flush ? classes.flush : classes.body}>{children}</div>
    </section>
  );
}
