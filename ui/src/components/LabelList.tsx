import { ActionIcon, CopyButton, Group, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy, IconFilterMinus, IconFilterPlus } from "@tabler/icons-react";
import type { ReactNode } from "react";
import classes from "./LabelList.module.css";

interface LabelListProps {
  entries: [string, ReactNode][];
  /** The text to copy and filter by, where the value shown is not text. */
  raw?: Record<string, string>;
  onFilter?: (name: string, value: string, include: boolean) => void;
}

/** Names and values, each with copy and, where it makes sense, filter buttons that show on hover or focus. */
export function LabelList({ entries, raw, onFilter }: LabelListProps) {
  return (
    <dl className={classes.list}>
      {entries.map(([name, value]) => {
        const text = raw?.[name] ?? String(value);
        return (
          <div key={name} className={classes.row}>
            <dt className={classes.name}>{name}</dt>
            <dd className={classes.value}>
              <span className={classes.text}>{value}</span>
              <Group gap={2} wrap="nowrap" className={classes.actions}>
                {onFilter && (
                  <>
                    <Tooltip label="Only this value">
                      <ActionIcon
                        size="sm"
                        onClick={() => onFilter(name, text, true)}
                        aria-label={`Only ${name} = ${text}`}
                      >
                        <IconFilterPlus size={14} />
                      </ActionIcon>
                    </Tooltip>
                    <Tooltip label="Without this value">
                      <ActionIcon
                        size="sm"
                        onClick={() => onFilter(name, text, false)}
                        aria-label={`Without ${name} = ${text}`}
                      >
                        <IconFilterMinus size={14} />
                      </ActionIcon>
                    </Tooltip>
                  </>
                )}
                <CopyButton value={text}>
                  {({ copied, copy }) => (
                    <ActionIcon size="sm" onClick={copy} aria-label={`Copy ${name}`}>
                      {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
                    </ActionIcon>
                  )}
                </CopyButton>
              </Group>
            </dd>
          </div>
        );
      })}
    </dl>
  );
}
