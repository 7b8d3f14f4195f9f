// What lanes have in common: charts above each other on one time axis, with one cursor and the values under it in
// each lane's head, so that nothing covers the curves.

import { useMemo, useState } from "react";
import { useTime } from "../../app/time";
import type { TimeChart } from "../../components/chart/TimeChart";
import { outcomeColor } from "../../components/OutcomeBadge";
import type { Marker } from "../../lib/autoscaling";
import type { Scheme } from "../../lib/colors";
import type { Occasion } from "../../lib/decision";
import { formatDateTime } from "../../lib/time";
import classes from "./lanes.module.css";

export const AXIS = 64;
export const RIGHT = 8;
const SYNC = "autoscaler";

// What changed the target, or failed to; a line for each hold would hide the curves.
const DRAWN: ReadonlySet<Occasion> = new Set<Occasion>([
  "ScaledOut",
  "ScaledIn",
  "Resized",
  "Recreated",
  "RolledBack",
  "KillAnswered",
  "Failed",
]);

export type SharedChart = Pick<
  Parameters<typeof TimeChart>[0],
  "times" | "syncKey" | "axisWidth" | "marks" | "tooltip" | "onCursor" | "onZoom"
>;

/** Dashed lines for the changes among markers. */
export function changeMarks(markers: Marker[], scheme: Scheme) {
  return markers
    .filter((marker) => DRAWN.has(marker.occasion))
    .map((marker) => ({ ms: marker.ms, color: outcomeColor(marker.occasion, scheme) }));
}

/** The index that lanes show the values of, and what their charts share. `newest` stands in while no cursor is there. */
export function useLanes(times: number[], newest: number | null, markers: Marker[], scheme: Scheme) {
  const { setRange } = useTime();
  const [cursor, setCursor] = useState<number | null>(null);
  const marks = useMemo(() => changeMarks(markers, scheme), [markers, scheme]);
  const shared: SharedChart = {
    times,
    syncKey: SYNC,
    axisWidth: AXIS,
    marks,
    tooltip: false,
    onCursor: setCursor,
    onZoom: (from, to) => setRange({ from: String(Math.round(from)), to: String(Math.round(to)) }),
  };
  return { at: cursor !== null && cursor < times.length ? cursor : newest, moved: cursor !== null, shared };
}

/** The time that the lanes' values are of. */
export function LanesHead({ ms, moved }: { ms: number | null; moved: boolean }) {
  const { zone } = useTime();
  return (
    <div className={classes.at}>
      <span className="num">{ms === null ? "" : formatDateTime(ms, zone)}</span>
      <span className={classes.hint}>
        {moved ? "" : "newest values; move over a lane to read others, drag to zoom"}
      </span>
    </div>
  );
}

interface ReadoutProps {
  name: string;
  color: string;
  value: string;
  dashed?: boolean;
  title?: string;
}

export function Readout({ name, color, value, dashed, title }: ReadoutProps) {
  return (
    <span className={classes.readout} title={title}>
      <span className={classes.swatch} data-dashed={dashed || undefined} style={{ color }} />
      {name} <b className="num">{value}</b>
    </span>
  );
}

/** The same thing has the same colour in every lane. */
export function laneColors(scheme: Scheme) {
  const dark = scheme === "dark";
  return {
    current: dark ? "#d8dee8" : "#1a212b",
    desired: dark ? "#45cfa4" : "#0b8a63",
    recommended: dark ? "#b794ff" : "#7a2fc2",
    edge: dark ? "#4b5565" : "#b3bcc9",
    limit: dark ? "#ff9561" : "#c2410c",
  };
}
