import { useElementSize } from "@mantine/hooks";
import { useMemo } from "react";
import { useTime } from "../../app/time";
import { OUTCOME_ICON, OUTCOME_LABEL, outcomeColor } from "../../components/OutcomeBadge";
import { groupMarkers, type Marker } from "../../lib/autoscaling";
import type { Scheme } from "../../lib/colors";
import { formatClock } from "../../lib/time";
import { AXIS, RIGHT } from "./lanes";
import classes from "./lanes.module.css";

interface DecisionLaneProps {
  /** What the lane is called to those who do not see it. */
  label: string;
  name: string;
  times: number[];
  markers: Marker[];
  scheme: Scheme;
  selected?: string;
  onSelect: (id: string | undefined) => void;
}

// Marks are 22 pixels wide and carry their count beside them.
const MARK_WIDTH = 26;
const LISTED = 6;

/** Decisions as marks under the curves, on the same axis. */
export function DecisionLane({ label, name, times, markers, scheme, selected, onSelect }: DecisionLaneProps) {
  const { zone } = useTime();
  const { ref, width } = useElementSize();
  const start = (times[0] ?? 0) * 1000;
  const end = (times.at(-1) ?? 1) * 1000;
  const groups = useMemo(() => {
    const share = (marker: Marker) => Math.min(1, (marker.ms - start) / Math.max(1, end - start));
    const inside = markers.filter((marker) => marker.ms >= start);
    return groupMarkers(inside, (marker) => share(marker) * width, MARK_WIDTH);
  }, [markers, start, end, width]);
  return (
    <section className={classes.decisions} aria-label={label}>
      <span className={classes.laneName} style={{ width: AXIS }}>
        {name}
      </span>
      <div ref={ref} className={classes.rail} style={{ left: AXIS, right: RIGHT }}>
        {width > 0 &&
          groups.map((group) => {
            const { occasion, record } = group.lead;
            const IconOf = OUTCOME_ICON[occasion];
            const quiet = occasion === "Unchanged";
            const chosen = group.markers.some((marker) => marker.record.id === selected);
            const lines = group.markers
              .slice(-LISTED)
              .map(
                (marker) =>
                  `${formatClock(marker.ms, zone)} ${OUTCOME_LABEL[marker.occasion]}: ${marker.record.reason}`,
              );
            const more = group.markers.length > LISTED ? `${group.markers.length - LISTED} more before\n` : "";
            return (
              <button
                key={group.markers[0]?.record.id}
                type="button"
                className={classes.marker}
                data-quiet={quiet || undefined}
                data-selected={chosen || undefined}
                data-count={group.markers.length > 1 ? group.markers.length : undefined}
                style={{ left: group.at, color: outcomeColor(occasion, scheme) }}
                title={more + lines.join("\n")}
                aria-label={`${formatClock(group.lead.ms, zone)} ${OUTCOME_LABEL[occasion]}: ${record.reason}${group.markers.length > 1 ? ` (${group.markers.length} decisions)` : ""}`}
                aria-pressed={chosen}
                onClick={() => onSelect(chosen ? undefined : record.id)}
              >
                <IconOf size={quiet ? 10 : 13} stroke={2.6} aria-hidden />
              </button>
            );
          })}
      </div>
    </section>
  );
}
