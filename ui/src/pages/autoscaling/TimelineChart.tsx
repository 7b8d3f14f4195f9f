import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { useTime } from "../../app/time";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { OUTCOME_ICON, OUTCOME_LABEL, outcomeColor } from "../../components/OutcomeBadge";
import { groupMarkers, type Marker, type ObjectiveTrack, type Timeline } from "../../lib/autoscaling";
import { type Scheme, seriesColor, withAlpha } from "../../lib/colors";
import { formatClock, formatDateTime } from "../../lib/time";
import { formatValue } from "../../lib/units";
import { objectiveUnit } from "./objective";
import classes from "./TimelineChart.module.css";

const AXIS = 64;
const RIGHT = 8;
const SYNC = "autoscaler";

// What changed the number, or failed to; a line for each hold would hide the curves.
const DRAWN = new Set(["ScaledOut", "ScaledIn", "Failed"]);

interface TimelineChartProps {
  timeline: Timeline;
  selected?: string;
  onSelect: (id: string | undefined) => void;
}

/**
 * Signal against target, replicas, and decisions: lanes over one time axis with one cursor. The values under the cursor
 * stand in each lane's head, so that nothing covers the curves.
 */
export function TimelineChart({ timeline, selected, onSelect }: TimelineChartProps) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const { zone, setRange } = useTime();
  const [cursor, setCursor] = useState<number | null>(null);
  const at = cursor !== null && cursor < timeline.times.length ? cursor : lastIndex(timeline);
  const marks = useMemo(
    () =>
      timeline.markers
        .filter((marker) => DRAWN.has(marker.outcome))
        .map((marker) => ({ ms: marker.ms, color: outcomeColor(marker.outcome, scheme) })),
    [timeline, scheme],
  );
  const onZoom = (from: number, to: number) => setRange({ from: String(Math.round(from)), to: String(Math.round(to)) });
  const shared = {
    times: timeline.times,
    syncKey: SYNC,
    axisWidth: AXIS,
    marks,
    tooltip: false,
    onCursor: setCursor,
    onZoom,
  };

  return (
    <div className={classes.timeline}>
      <div className={classes.at}>
        <span className="num">{at === null ? "" : formatDateTime((timeline.times[at] ?? 0) * 1000, zone)}</span>
        <span className={classes.hint}>
          {cursor === null ? "newest values; move over a lane to read others, drag to zoom" : ""}
        </span>
      </div>
      {timeline.objectives.map((objective, index) => (
        <ObjectiveLane
          key={objective.name}
          objective={objective}
          index={index}
          at={at}
          scheme={scheme}
          shared={shared}
        />
      ))}
      <ReplicaLane timeline={timeline} at={at} scheme={scheme} shared={shared} />
      <DecisionLane timeline={timeline} scheme={scheme} zone={zone} selected={selected} onSelect={onSelect} />
    </div>
  );
}

/** The newest index at which anything is known. */
function lastIndex(timeline: Timeline): number | null {
  for (let index = timeline.times.length - 1; index >= 0; index--) {
    if (timeline.current[index] !== null || timeline.objectives.some((track) => track.value[index] !== null))
      return index;
  }
  return null;
}

type Shared = Pick<
  Parameters<typeof TimeChart>[0],
  "times" | "syncKey" | "axisWidth" | "marks" | "tooltip" | "onCursor" | "onZoom"
>;

interface LaneProps {
  at: number | null;
  scheme: Scheme;
  shared: Shared;
}

function Readout({ name, color, value, dashed }: { name: string; color: string; value: string; dashed?: boolean }) {
  return (
    <span className={classes.readout}>
      <span className={classes.swatch} data-dashed={dashed || undefined} style={{ color }} />
      {name} <b className="num">{value}</b>
    </span>
  );
}

function ObjectiveLane({
  objective,
  index,
  at,
  scheme,
  shared,
}: LaneProps & { objective: ObjectiveTrack; index: number }) {
  const unit = objectiveUnit(objective.unit);
  const color = seriesColor(index, scheme);
  const targetColor = scheme === "dark" ? "#c9d1dc" : "#414b59";
  const series = useMemo(
    (): ChartSeries[] => [
      { name: "value", color, values: objective.value, fill: true, width: 1.75 },
      { name: "target", color: targetColor, values: objective.target, dashed: true, width: 1.25 },
    ],
    [objective, color, targetColor],
  );
  const read = (column: (number | null)[]) => (at === null ? "–" : formatValue(column[at], unit));
  return (
    <section className={classes.lane} aria-label={`Objective ${objective.name}`}>
      <div className={classes.head}>
        <h3 className={classes.title}>{objective.name}</h3>
        <Readout name="signal" color={color} value={read(objective.value)} />
        <Readout
          name="target"
          color={targetColor}
          value={`${read(objective.target)}${objective.per === "Replica" ? " per replica" : ""}`}
          dashed
        />
        {objective.query && (
          <code className={classes.query} title={objective.query}>
            {objective.query}
          </code>
        )}
      </div>
      <TimeChart
        {...shared}
        series={series}
        unit={unit}
        height={128}
        hideTimeAxis
        label={`Signal and target of ${objective.name}`}
      />
    </section>
  );
}

function ReplicaLane({ timeline, at, scheme, shared }: LaneProps & { timeline: Timeline }) {
  const dark = scheme === "dark";
  const colors = useMemo(
    () => ({
      current: dark ? "#d8dee8" : "#1a212b",
      desired: dark ? "#45cfa4" : "#0b8a63",
      recommended: dark ? "#b794ff" : "#7a2fc2",
      edge: dark ? "#4b5565" : "#b3bcc9",
    }),
    [dark],
  );
  const series = useMemo(
    (): ChartSeries[] => [
      { name: "max", color: colors.edge, values: timeline.max, stepped: true, width: 1 },
      { name: "min", color: colors.edge, values: timeline.min, stepped: true, width: 1 },
      {
        name: "recommended",
        color: colors.recommended,
        values: timeline.recommended,
        stepped: true,
        dashed: true,
        width: 1.5,
      },
      { name: "desired", color: colors.desired, values: timeline.desired, stepped: true, width: 2.5 },
      { name: "current", color: colors.current, values: timeline.current, stepped: true, width: 1.5 },
    ],
    [timeline, colors],
  );
  const bands = useMemo(() => [{ upper: 0, lower: 1, color: withAlpha(colors.edge, 0.16) }], [colors]);
  const read = (column: (number | null)[]) => (at === null ? "–" : formatValue(column[at], "number"));
  return (
    <section className={classes.lane} aria-label="Replicas">
      <div className={classes.head}>
        <h3 className={classes.title}>Replicas</h3>
        <Readout name="current" color={colors.current} value={read(timeline.current)} />
        <Readout name="desired" color={colors.desired} value={read(timeline.desired)} />
        <Readout name="recommended" color={colors.recommended} value={read(timeline.recommended)} dashed />
        <Readout name="bounds" color={colors.edge} value={`${read(timeline.min)} to ${read(timeline.max)}`} />
      </div>
      <TimeChart
        {...shared}
        series={series}
        bands={bands}
        unit="number"
        wholeNumbers
        height={164}
        label="Replicas: current, desired and recommended, within their bounds"
      />
    </section>
  );
}

interface DecisionLaneProps {
  timeline: Timeline;
  scheme: Scheme;
  zone: "local" | "utc";
  selected?: string;
  onSelect: (id: string | undefined) => void;
}

// Marks are 22 pixels wide and carry their count beside them.
const MARK_WIDTH = 26;
const LISTED = 6;

/** Decisions as marks under the curves, on the same axis. */
function DecisionLane({ timeline, scheme, zone, selected, onSelect }: DecisionLaneProps) {
  const { ref, width } = useElementSize();
  const start = (timeline.times[0] ?? 0) * 1000;
  const end = (timeline.times.at(-1) ?? 1) * 1000;
  const groups = useMemo(() => {
    const share = (marker: Marker) => Math.min(1, (marker.ms - start) / Math.max(1, end - start));
    const inside = timeline.markers.filter((marker) => marker.ms >= start);
    return groupMarkers(inside, (marker) => share(marker) * width, MARK_WIDTH);
  }, [timeline, start, end, width]);
  return (
    <section className={classes.decisions} aria-label="Decisions over time">
      <span className={classes.laneName} style={{ width: AXIS }}>
        Decisions
      </span>
      <div ref={ref} className={classes.rail} style={{ left: AXIS, right: RIGHT }}>
        {width > 0 &&
          groups.map((group) => {
            const { outcome, record } = group.lead;
            const IconOf = OUTCOME_ICON[outcome];
            const quiet = outcome === "Unchanged";
            const chosen = group.markers.some((marker) => marker.record.id === selected);
            const lines = group.markers
              .slice(-LISTED)
              .map(
                (marker) => `${formatClock(marker.ms, zone)} ${OUTCOME_LABEL[marker.outcome]}: ${marker.record.reason}`,
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
                style={{ left: group.at, color: outcomeColor(outcome, scheme) }}
                title={more + lines.join("\n")}
                aria-label={`${formatClock(group.lead.ms, zone)} ${OUTCOME_LABEL[outcome]}: ${record.reason}${group.markers.length > 1 ? ` (${group.markers.length} decisions)` : ""}`}
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
