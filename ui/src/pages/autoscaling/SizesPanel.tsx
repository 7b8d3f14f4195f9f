import { Select, Skeleton } from "@mantine/core";
import { IconArrowsVertical } from "@tabler/icons-react";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import type { DecisionRecord } from "../../lib/decision";
import { containerName, newestSizes, type SizeTimeline } from "../../lib/sizes";
import { SizesChart } from "./SizesChart";
import { SizesTable } from "./SizesTable";

interface SizesPanelProps {
  /** The newest decision about sizes. */
  latest?: DecisionRecord;
  /** Undefined while it is on its way. */
  timeline?: SizeTimeline;
  /** The container, with its role, that is looked at; all of them if not given. */
  container?: string;
  selected?: string;
  onContainer: (container: string | undefined) => void;
  onSelect: (id: string | undefined) => void;
}

/** What containers have and should have: now, and over the range. */
export function SizesPanel({ latest, timeline, container, selected, onContainer, onSelect }: SizesPanelProps) {
  const sizes = newestSizes(latest, timeline);
  const containers = [...new Set([...sizes, ...(timeline?.tracks ?? [])].map(containerName))];
  const shown = sizes.filter((size) => !container || containerName(size) === container);
  return (
    <>
      <Panel
        flush
        title="Sizes"
        note="per pod; of several pods the largest request"
        aside={
          (containers.length > 1 || container) && (
            <Select
              size="xs"
              w={200}
              aria-label="Container"
              placeholder="every container"
              clearable
              clearButtonProps={{ "aria-label": "Every container" }}
              data={container && !containers.includes(container) ? [...containers, container] : containers}
              value={container ?? null}
              onChange={(next) => onContainer(next ?? undefined)}
            />
          )
        }
      >
        {shown.length > 0 ? (
          <SizesTable sizes={shown} />
        ) : sizes.length > 0 ? (
          <EmptyState icon={IconArrowsVertical} title={`No size of ${container} is known`} height={120}>
            The newest decision is about other containers.
          </EmptyState>
        ) : (
          <EmptyState icon={IconArrowsVertical} title="No size is known yet" height={120}>
            {latest?.reason || "A decision about sizes has yet to arrive."}
          </EmptyState>
        )}
      </Panel>
      <Panel flush label="Sizes over time">
        {timeline ? (
          <SizesChart timeline={timeline} container={container} selected={selected} onSelect={onSelect} />
        ) : (
          <Skeleton h={380} m="sm" />
        )}
      </Panel>
    </>
  );
}
