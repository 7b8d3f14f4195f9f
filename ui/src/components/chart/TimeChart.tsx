import { useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { useTime } from "../../app/time";
import type { Scheme } from "../../lib/colors";
import { formatDateTime, type Zone } from "../../lib/time";
import { formatValue } from "../../lib/units";
import { type Hover, makeOptions, type TimeChartProps, toData } from "./options";
import classes from "./TimeChart.module.css";

const TOOLTIP_ROWS = 12;

/** uPlot in React: made anew when its shape changes, fed new data otherwise, so that refreshing costs a redraw only. */
export function TimeChart(props: TimeChartProps) {
  const {
    times,
    series,
    unit,
    height,
    label,
    bands,
    marks,
    syncKey,
    axisWidth,
    hideTimeAxis,
    yMin,
    yMax,
    wholeNumbers,
    stacked,
  } = props;
  const { zone } = useTime();
  const scheme = useComputedColorScheme("dark", { getInitialValueInEffect: false }) as Scheme;
  const { ref: sizeRef, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [hover, setHover] = useState<Hover | null>(null);
  // Read by uPlot's hooks, which are made once.
  const latest = useRef(props);
  latest.current = props;

  const data = useMemo(() => toData(times, series, stacked === true), [times, series, stacked]);
  const shape = JSON.stringify([
    series.map((entry) => [entry.name, entry.color, entry.dashed, entry.stepped, entry.fill, entry.bars, entry.width]),
    bands,
    unit,
    scheme,
    zone,
    syncKey,
    axisWidth,
    hideTimeAxis,
    yMin,
    yMax,
    wholeNumbers,
    stacked,
  ]);
  const ready = width > 0;

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for everything the options are made of
  useEffect(() => {
    if (!host.current || !ready) return;
    const options = makeOptions(latest, { width, height, scheme, zone, setHover });
    const made = new uPlot(options, data, host.current);
    plot.current = made;
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [shape, ready]);

  useEffect(() => {
    if (ready) plot.current?.setSize({ width, height });
  }, [width, height, ready]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: marks are read by the draw hook, and a new shape is a new plot
  useEffect(() => {
    const made = plot.current;
    if (!made) return;
    series.forEach((entry, index) => {
      const shown = !entry.hidden;
      if (made.series[index + 1]?.show !== shown) made.setSeries(index + 1, { show: shown });
    });
    const focus = series.findIndex((entry) => entry.name === props.highlighted);
    made.setSeries(focus < 0 ? null : focus + 1, { focus: true });
    made.redraw(false);
  }, [series, marks, props.highlighted, shape]);

  const { onCursor, tooltip = true } = props;
  const hoverIndex = hover?.index ?? null;
  useEffect(() => onCursor?.(hoverIndex), [onCursor, hoverIndex]);

  return (
    <div ref={sizeRef} className={classes.frame} style={{ height }}>
      <div ref={host} role="img" aria-label={label} />
      {tooltip && hover && <Tooltip hover={hover} width={width} {...props} zone={zone} />}
    </div>
  );
}

function Tooltip({
  hover,
  width,
  times,
  series,
  unit,
  zone,
  tooltipNote,
  format,
}: TimeChartProps & { hover: Hover; width: number; zone: Zone }) {
  const time = times[hover.index];
  if (time === undefined) return null;
  const rows = series
    .filter((entry) => !entry.silent && !entry.hidden)
    .map((entry) => ({ entry, value: entry.values[hover.index] ?? null }))
    .filter((row) => row.value !== null || series.length <= 6);
  if (series.length > 6) rows.sort((a, b) => (b.value ?? 0) - (a.value ?? 0));
  const shown = rows.slice(0, TOOLTIP_ROWS);
  const flip = hover.left > width / 2;
  return (
    <div
      className={classes.tooltip}
      data-flip={flip || undefined}
      style={flip ? { right: width - hover.left + 12 } : { left: hover.left + 12 }}
      aria-hidden
    >
      <div className={classes.time}>{formatDateTime(time * 1000, zone)}</div>
      {shown.map(({ entry, value }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: two series may share a name, and rows hold no state
        <div key={index} className={classes.row}>
          <span className={classes.swatch} data-dashed={entry.dashed || undefined} style={{ color: entry.color }} />
          <span className={classes.name}>{entry.name}</span>
          <span className={classes.value}>{format ? format(value) : formatValue(value, unit)}</span>
        </div>
      ))}
      {rows.length > shown.length && <div className={classes.more}>and {rows.length - shown.length} more</div>}
      {tooltipNote?.(time * 1000)}
    </div>
  );
}
