// What a chart is made of, and the options that tell uPlot so.

import type { ReactNode } from "react";
import uPlot from "uplot";
import { type Scheme, withAlpha } from "../../lib/colors";
import type { Zone } from "../../lib/time";
import { formatValue, type Unit } from "../../lib/units";

export interface ChartSeries {
  name: string;
  color: string;
  values: (number | null)[];
  dashed?: boolean;
  /** Drawn as steps: for counts of things that change at an instant. */
  stepped?: boolean;
  fill?: boolean;
  bars?: boolean;
  width?: number;
  hidden?: boolean;
  /** Left out of the tooltip: helpers such as the edges of a band. */
  silent?: boolean;
}

export interface ChartBand {
  /** Indexes into `series`, upper edge first. */
  upper: number;
  lower: number;
  color: string;
}

export interface ChartMark {
  ms: number;
  color: string;
}

export interface TimeChartProps {
  times: number[];
  series: ChartSeries[];
  /** The right end of the axis, in seconds; the last time if not given. */
  end?: number;
  unit: Unit;
  height: number;
  label: string;
  bands?: ChartBand[];
  marks?: ChartMark[];
  /** Charts with one key move their cursors together. */
  syncKey?: string;
  onZoom?: (fromMs: number, toMs: number) => void;
  /** Width of the value axis, so that charts above each other line up. */
  axisWidth?: number;
  hideTimeAxis?: boolean;
  yMin?: number;
  yMax?: number;
  wholeNumbers?: boolean;
  stacked?: boolean;
  highlighted?: string;
  tooltipNote?: (ms: number) => ReactNode;
  /** Off where the values under the cursor are shown elsewhere. */
  tooltip?: boolean;
  onCursor?: (index: number | null) => void;
  format?: (value: number | null) => string;
}

/** Where the cursor is: the data index, and the place in the frame. */
export interface Hover {
  index: number;
  left: number;
}

/**
 * Columns for uPlot. Stacking adds up from the last series, so that each is drawn over the taller ones before it and
 * the last one stands on the ground.
 */
export function toData(times: number[], series: ChartSeries[], stacked: boolean): uPlot.AlignedData {
  if (!stacked) return [times, ...series.map((entry) => entry.values)] as uPlot.AlignedData;
  const sums = new Array<number>(times.length).fill(0);
  const columns = series.toReversed().map((entry) =>
    entry.values.map((value, index) => {
      if (entry.hidden) return null;
      sums[index] = (sums[index] ?? 0) + (value ?? 0);
      return sums[index] ?? null;
    }),
  );
  return [times, ...columns.toReversed()] as uPlot.AlignedData;
}

interface Surroundings {
  width: number;
  height: number;
  scheme: Scheme;
  zone: Zone;
  setHover: (hover: Hover | null) => void;
}

export function makeOptions(latest: { current: TimeChartProps }, around: Surroundings): uPlot.Options {
  const { series, unit, bands, syncKey, axisWidth, hideTimeAxis, yMin, yMax, wholeNumbers, stacked } = latest.current;
  const dark = around.scheme === "dark";
  const ink = dark ? "#98a3b4" : "#566070";
  const grid = { stroke: dark ? "#1f2731" : "#e8ebf0", width: 1 };
  const font = "11px 'Inter Variable', sans-serif";
  const toDate = (seconds: number) =>
    around.zone === "utc" ? uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") : new Date(seconds * 1000);
  const show = latest.current.format ?? ((value: number | null) => formatValue(value, unit));
  return {
    width: around.width,
    height: around.height,
    padding: [8, 8, hideTimeAxis ? 4 : 0, 0],
    legend: { show: false },
    tzDate: toDate,
    focus: { alpha: 0.2 },
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: true, y: false, setScale: false },
      ...(syncKey ? { sync: { key: syncKey, scales: ["x", null] } } : {}),
    },
    scales: {
      x: {
        time: true,
        range: (_, min, max) => [min, latest.current.end ?? (max === min ? max + 1 : max)],
      },
      y: { range: (_, low, high) => yRange(low, high, yMin, yMax, unit) },
    },
    axes: [
      {
        stroke: ink,
        font,
        grid,
        ticks: { show: false },
        size: hideTimeAxis ? 0 : 26,
        gap: 6,
        show: true,
        values: hideTimeAxis ? (_, splits) => splits.map(() => "") : timeLabels(toDate),
        space: 70,
      },
      {
        stroke: ink,
        font,
        grid,
        ticks: { show: false },
        size: axisWidth ?? 58,
        gap: 6,
        space: 30,
        incrs: wholeNumbers
          ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
          : unit === "bytes" || unit === "bytesPerSecond"
            ? BINARY_STEPS
            : undefined,
        values: (_, splits) => splits.map((value) => show(value)),
      },
    ],
    series: [
      {},
      ...series.map((entry): uPlot.Series => {
        const base: uPlot.Series = {
          label: entry.name,
          stroke: entry.color,
          width: entry.width ?? 1.5,
          show: !entry.hidden,
          points: { show: false },
          dash: entry.dashed ? [5, 4] : undefined,
          spanGaps: false,
        };
        if (entry.bars)
          return { ...base, fill: entry.color, width: 0, paths: uPlot.paths.bars?.({ size: [0.86, 40], align: 1 }) };
        if (entry.stepped) base.paths = uPlot.paths.stepped?.({ align: 1 });
        if (entry.fill) base.fill = withAlpha(entry.color, stacked ? 0.55 : 0.13);
        return base;
      }),
    ],
    bands: bands?.map((band) => ({ series: [band.upper + 1, band.lower + 1] as uPlot.Band.Bounds, fill: band.color })),
    hooks: {
      setCursor: [
        (made) => {
          const { idx, left } = made.cursor;
          if (idx === null || idx === undefined || left === undefined || left < 0) around.setHover(null);
          else around.setHover({ index: idx, left: left + made.bbox.left / devicePixelRatio });
        },
      ],
      setSelect: [
        (made) => {
          const { left, width } = made.select;
          if (width > 4)
            latest.current.onZoom?.(made.posToVal(left, "x") * 1000, made.posToVal(left + width, "x") * 1000);
          made.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      draw: [(made) => drawMarks(made, latest.current.marks ?? [])],
    },
  };
}

const BINARY_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);

function yRange(
  low: number | null,
  high: number | null,
  yMin: number | undefined,
  yMax: number | undefined,
  unit: Unit,
): uPlot.Range.MinMax {
  if (unit === "timestamp" && low !== null && high !== null && low > 0)
    return low === high ? [low - 1, high + 1] : [low, high];
  const bottom = Math.min(low ?? 0, yMin ?? 0);
  const top = Math.max(high ?? 0, yMax ?? 0);
  if (top === bottom) return [bottom, bottom + 1];
  return [bottom < 0 ? bottom * 1.06 : bottom, top * 1.06];
}

/** 24-hour clocks, with the day where it changes. */
function timeLabels(toDate: (seconds: number) => Date): uPlot.Axis.DynamicValues {
  return (_made, splits, _axis, _space, increment) => {
    let day = "";
    return splits.map((split) => {
      const date = toDate(split);
      const two = (value: number) => String(value).padStart(2, "0");
      const today = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
      const clock = `${two(date.getHours())}:${two(date.getMinutes())}${increment < 60 ? `:${two(date.getSeconds())}` : ""}`;
      const changed = day !== "" && day !== today;
      day = today;
      if (increment >= 86_400) return today;
      return changed ? `${today} ${clock}` : clock;
    });
  };
}

function drawMarks(made: uPlot, marks: ChartMark[]) {
  if (marks.length === 0) return;
  const { ctx, bbox } = made;
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  for (const mark of marks) {
    const x = Math.round(made.valToPos(mark.ms / 1000, "x", true)) + 0.5;
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = withAlpha(mark.color, 0.45);
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}
