import { useElementSize } from "@mantine/hooks";
import { useState } from "react";
import { useTime } from "../../app/time";
import { formatClock, formatClockMs } from "../../lib/time";
import type { TraceSummary } from "../../lib/trace";
import { formatSeconds } from "../../lib/units";
import classes from "./TraceScatter.module.css";

const HEIGHT = 110;
const LEFT = 56;
const BOTTOM = 20;

interface TraceScatterProps {
  traces: TraceSummary[];
  /** The list stops at its limit: older traces of the range are not in it. */
  full: boolean;
  colorOf: (service: string) => string;
  onOpen: (id: string) => void;
}

/**
 * Traces as dots over time and duration, the duration on a logarithmic axis: what matters is whether something takes
 * ten times as long. The list below carries the same for those who do not see it.
 */
export function TraceScatter({ traces, full, colorOf, onOpen }: TraceScatterProps) {
  const { ref, width } = useElementSize();
  const { range: asked, zone } = useTime();
  // What a full list leaves out would be an empty plot with all dots at its edge.
  const oldest = Math.min(...traces.map((trace) => trace.start)) / 1000;
  const range = full && oldest < asked.to ? { from: oldest, to: asked.to } : asked;
  const [over, setOver] = useState<TraceSummary>();

  const durations = traces.map((trace) => Math.max(1, trace.duration));
  const low = Math.floor(Math.log10(Math.min(...durations)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...durations))));
  const plotWidth = Math.max(1, width - LEFT - 8);
  const x = (us: number) => LEFT + ((us / 1000 - range.from) / (range.to - range.from)) * plotWidth;
  const y = (us: number) => 8 + (1 - (Math.log10(Math.max(1, us)) - low) / (high - low)) * (HEIGHT - BOTTOM - 14);
  const decades = Array.from({ length: high - low + 1 }, (_, index) => low + index).filter(
    (_, __, all) => all.length <= 4 || _ % 2 === 0,
  );
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => range.from + share * (range.to - range.from));

  return (
    <div ref={ref} className={classes.frame} style={{ height: HEIGHT }}>
      {width > 0 && (
        <svg width={width} height={HEIGHT} role="img" aria-label="Traces by start and duration">
          {decades.map((decade) => (
            <g key={decade}>
              <line x1={LEFT} x2={width - 8} y1={y(10 ** decade)} y2={y(10 ** decade)} className={classes.grid} />
              <text x={LEFT - 8} y={y(10 ** decade) + 4} textAnchor="end" className={classes.tick}>
                {formatSeconds(10 ** decade / 1e6)}
              </text>
            </g>
          ))}
          {ticks.map((tick, index) => (
            <text
              key={tick}
              x={LEFT + ((tick - range.from) / (range.to - range.from)) * plotWidth}
              y={HEIGHT - 5}
              textAnchor={index === 0 ? "start" : index === ticks.length - 1 ? "end" : "middle"}
              className={classes.tick}
            >
              {range.to - range.from < 10_000 ? formatClockMs(tick, zone) : formatClock(tick, zone)}
            </text>
          ))}
          {traces.map((trace) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: the list below offers the same by keyboard
            <circle
              key={trace.id}
              cx={x(trace.start)}
              cy={y(trace.duration)}
              r={over?.id === trace.id ? 6 : 4.5}
              fill={trace.errors > 0 ? "var(--text-bad)" : colorOf(trace.rootService)}
              className={classes.dot}
              onMouseEnter={() => setOver(trace)}
              onMouseLeave={() => setOver(undefined)}
              onClick={() => onOpen(trace.id)}
            />
          ))}
        </svg>
      )}
      {over && (
        <div
          className={classes.tip}
          style={x(over.start) > width / 2 ? { right: width - x(over.start) + 10 } : { left: x(over.start) + 10 }}
          aria-hidden
        >
          <b>{formatSeconds(over.duration / 1e6)}</b> {over.rootService} {over.rootName}
        </div>
      )}
    </div>
  );
}
