import { useComputedColorScheme } from "@mantine/core";
import { useMemo, useState } from "react";
import type { ChartSeries } from "../../components/chart/options";
import { TimeChart } from "../../components/chart/TimeChart";
import { type Scheme, seriesColor } from "../../lib/colors";
import { containerName, formatSize, limitFits, resourceUnit, type SizeTimeline, type SizeTrack } from "../../lib/sizes";
import { DecisionLane } from "./DecisionLane";
import { changeMarks, LanesHead, laneColors, Readout, type SharedChart, useLanes } from "./lanes";
import classes from "./lanes.module.css";

interface SizesChartProps {
  timeline: SizeTimeline;
  /** The container, with its role, whose sizes are drawn; all of them if not given. */
  container?: string;
  selected?: string;
  onSelect: (id: string | undefined) => void;
}

// Two of each of three containers; more than that is looked for, not looked at.
const LANES = 6;

/** Usage, request, limit, recommendation and the desired request of every container, and each change, on one axis. */
export function SizesChart({ timeline, container, selected, onSelect }: SizesChartProps) {
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const [all, setAll] = useState(false);
  const { at, moved, shared } = useLanes(timeline.times, lastIndex(timeline), timeline.markers, scheme);
  const chosen = timeline.tracks.filter((track) => !container || containerName(track) === container);
  // With one container picked, decisions about others are out of the way.
  const markers = container
    ? timeline.markers.filter((marker) => chosen.some((track) => track.markers.includes(marker)))
    : timeline.markers;
  const shown = all ? chosen : chosen.slice(0, LANES);
  return (
    <div className={classes.timeline}>
      <LanesHead ms={at === null ? null : (timeline.times[at] ?? 0) * 1000} moved={moved} />
      {chosen.length === 0 && (
        <p className={classes.none}>
          {container ? `Nothing is known about ${container} in this range.` : "No size is known in this range."}
        </p>
      )}
      {shown.map((track, index) => (
        <SizeLane
          key={track.key}
          track={track}
          at={at}
          scheme={scheme}
          shared={shared}
          last={index === shown.length - 1}
        />
      ))}
      <DecisionLane
        label="Changes of sizes over time"
        name="Decisions"
        times={timeline.times}
        markers={markers}
        scheme={scheme}
        selected={selected}
        onSelect={onSelect}
      />
      {chosen.length > shown.length && (
        <button type="button" className={classes.more} onClick={() => setAll(true)}>
          Show {chosen.length - shown.length} more of {chosen.length} charts
        </button>
      )}
    </div>
  );
}

/** The newest index at which anything is known. */
function lastIndex({ times, tracks }: SizeTimeline): number | null {
  for (let index = times.length - 1; index >= 0; index--) {
    if (tracks.some((track) => track.usage[index] !== null || track.request[index] !== null)) return index;
  }
  return null;
}

interface SizeLaneProps {
  track: SizeTrack;
  at: number | null;
  scheme: Scheme;
  shared: SharedChart;
  last: boolean;
}

function SizeLane({ track, at, scheme, shared, last }: SizeLaneProps) {
  const colors = useMemo(() => ({ ...laneColors(scheme), usage: seriesColor(0, scheme) }), [scheme]);
  const bounded = useMemo(() => limitFits(track), [track]);
  const limited = useMemo(() => track.limit.some((value) => value !== null), [track]);
  const marks = useMemo(() => changeMarks(track.markers, scheme), [track, scheme]);
  const series = useMemo(
    (): ChartSeries[] => [
      { name: "usage", color: colors.usage, values: track.usage, fill: true, width: 1.5 },
      ...(bounded ? [{ name: "limit", color: colors.limit, values: track.limit, stepped: true, width: 1.25 }] : []),
      {
        name: "recommended",
        color: colors.recommended,
        values: track.recommended,
        stepped: true,
        dashed: true,
        width: 1.5,
      },
      { name: "desired", color: colors.desired, values: track.desired, stepped: true, width: 3 },
      { name: "request", color: colors.current, values: track.request, stepped: true, width: 1.5 },
    ],
    [track, colors, bounded],
  );
  const read = (column: (number | null)[]) => formatSize(at === null ? null : (column[at] ?? null), track.resource);
  const name = `${containerName(track)} ${track.resource}`;
  return (
    <section className={classes.lane} aria-label={name}>
      <div className={classes.head}>
        <h3 className={classes.title}>
          {containerName(track)} <span className={classes.of}>{track.resource}</span>
        </h3>
        <Readout name="usage" color={colors.usage} value={read(track.usage)} />
        <Readout name="request" color={colors.current} value={read(track.request)} />
        <Readout name="desired" color={colors.desired} value={read(track.desired)} />
        <Readout name="recommended" color={colors.recommended} value={read(track.recommended)} dashed />
        <Readout
          name="limit"
          color={colors.limit}
          value={limited ? `${read(track.limit)}${bounded ? "" : ", above the chart"}` : "none"}
        />
      </div>
      <TimeChart
        {...shared}
        marks={marks}
        series={series}
        unit={resourceUnit(track.resource)}
        height={last ? 138 : 112}
        hideTimeAxis={!last}
        label={`${name}: usage, request, limit, recommended and desired request`}
      />
    </section>
  );
}
