import { useComputedColorScheme } from "@mantine/core";
import { useMemo } from "react";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import type { ObjectiveTrack, Timeline } from "../../lib/autoscaling";
import { type Scheme, seriesColor, withAlpha } from "../../lib/colors";
import { formatValue } from "../../lib/units";
import { DecisionLane } from "./DecisionLane";
import { LanesHead, laneColors, Readout, type SharedChart, useLanes } from "./lanes";
import classes from "./lanes.module.css";
import { objectiveUnit } from "./objective";

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
  const { at, moved, shared } = useLanes(timeline.times, lastIndex(timeline), timeline.markers, scheme);
  return (
    <div className={classes.timeline}>
      <LanesHead ms={at === null ? null : (timeline.times[at] ?? 0) * 1000} moved={moved} />
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
      <DecisionLane
        label="Decisions over time"
        name="Decisions"
        times={timeline.times}
        markers={timeline.markers}
        scheme={scheme}
        selected={selected}
        onSelect={onSelect}
      />
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

interface LaneProps {
  at: number | null;
  scheme: Scheme;
  shared: SharedChart;
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
  const colors = useMemo(() => laneColors(scheme), [scheme]);
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
