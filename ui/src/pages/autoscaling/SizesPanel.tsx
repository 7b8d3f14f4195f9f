import { Skeleton } from "@mantine/core";
import { IconArrowsVertical } from "@tabler/icons-react";
import { EmptyState } from "../../components/EmptyState";
import { Panel } from "../../components/Panel";
import type { DecisionRecord } from "../../lib/decision";
import { newestSizes, type SizeTimeline } from "../../lib/sizes";
import { SizesChart } from "./SizesChart";
import { SizesTable } from "./SizesTable";

interface SizesPanelProps {
  /** The newest decision about sizes. */
  latest?: DecisionRecord;
  /** Undefined while it is on its way. */
  timeline?: SizeTimeline;
  container?: string;
  selected?: string;
  onContainer: (container: string | undefined) => void;
  onSelect: (id: string | undefined) => void;
}

/** What containers have and should have: now, and over the range. */
export function SizesPanel({ latest, timeline, container, selected, onContainer, onSelect }: SizesPanelProps) {
  const sizes = newestSizes(latest, timeline);
  return (
    <>
      <Panel flush title="Sizes" note="per pod; of several pods the largest request">
        {sizes.length > 0 ? (
          <SizesTable sizes={sizes} />
        ) : (
          <EmptyState icon={IconArrowsVertical} title="No size is known yet" height={120}>
            {latest?.reason || "A decision about sizes has yet to arrive."}
          </EmptyState>
        )}
      </Panel>
      <Panel flush label="Sizes over time">
        {timeline ? (
          <SizesChart
            timeline={timeline}
            container={container}
            selected={selected}
            onContainer={onContainer}
            onSelect={onSelect}
          />
        ) : (
          <Skeleton h={380} m="sm" />
        )}
      </Panel>
    </>
  );
}
