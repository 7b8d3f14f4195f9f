import { Link } from "@tanstack/react-router";
import { useTime } from "../../app/time";
import { formatAgo, formatDateTime } from "../../lib/time";
import type { TraceSummary } from "../../lib/trace";
import { formatInteger, formatSeconds } from "../../lib/units";
import classes from "./TracesPage.module.css";

/** Traces as rows, each with a bar as long as its duration is against the longest. */
export function TraceList({ traces, colorOf }: { traces: TraceSummary[]; colorOf: (service: string) => string }) {
  const { zone, range } = useTime();
  const longest = Math.max(1, ...traces.map((trace) => trace.duration));
  return (
    <ul className={classes.list}>
      {traces.map((trace) => (
        <li key={trace.id}>
          <Link to="/traces/$traceId" params={{ traceId: trace.id }} className={classes.trace}>
            <span className={classes.top}>
              <span className={classes.service}>{trace.rootService}</span>
              <span className={classes.operation}>{trace.rootName}</span>
              <span className={classes.duration}>{formatSeconds(trace.duration / 1e6)}</span>
            </span>
            <span className={classes.track} style={{ display: "block" }} aria-hidden>
              <span
                className={classes.bar}
                style={{
                  display: "block",
                  width: `${(trace.duration / longest) * 100}%`,
                  background: trace.errors > 0 ? "var(--text-bad)" : colorOf(trace.rootService),
                }}
              />
            </span>
            <span className={classes.meta}>
              <span title={formatDateTime(trace.start / 1000, zone)}>{formatAgo(trace.start / 1000, range.to)}</span>
              <span>
                {formatInteger(trace.spans)} {trace.spans === 1 ? "span" : "spans"}
              </span>
              {trace.errors > 0 && (
                <span className={classes.bad}>
                  {trace.errors} {trace.errors === 1 ? "error" : "errors"}
                </span>
              )}
              {trace.services.slice(0, 6).map((service) => (
                <span key={service.name} className={classes.chip}>
                  <span className={classes.dot} style={{ background: colorOf(service.name) }} />
                  {service.name} {formatInteger(service.spans)}
                </span>
              ))}
              <span className="mono" style={{ marginLeft: "auto", fontSize: "inherit" }}>
                {trace.id.slice(0, 12)}
              </span>
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}
