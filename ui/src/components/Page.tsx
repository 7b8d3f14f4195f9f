import { Group, Title } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import type { ReactNode } from "react";
import classes from "./Page.module.css";

interface PageProps {
  title: string;
  /** What the heading shows when it is more than text. */
  heading?: ReactNode;
  aside?: ReactNode;
  children: ReactNode;
  /** The page fills the window and scrolls inside its parts. */
  fill?: boolean;
}

/** A page: one h1, what can be done to the whole page beside it, and the content. */
export function Page({ title, heading, aside, children, fill }: PageProps) {
  useDocumentTitle(`${title} · Yagura`);
  return (
    <div className={classes.page} data-fill={fill || undefined}>
      <Group justify="space-between" gap="md" mih={36} className={classes.head}>
        <Title order={1} className={classes.title}>
          {heading ?? title}
        </Title>
        {aside}
      </Group>
      {children}
    </div>
  );
}
