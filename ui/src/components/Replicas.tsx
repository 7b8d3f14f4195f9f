import classes from "./Replicas.module.css";

interface ReplicasProps {
  current: number | null;
  desired: number | null;
  min: number | null;
  max: number | null;
}

/** Replicas as figures and as a place between the bounds; a policy about sizes alone sets none. */
export function Replicas({ current, desired, min, max }: ReplicasProps) {
  const known = current !== null && min !== null && max !== null && max > min;
  const place = (value: number) =>
    `${Math.min(100, Math.max(0, ((value - (min ?? 0)) / ((max ?? 1) - (min ?? 0))) * 100))}%`;
  const moving = desired !== null && current !== null && desired !== current;
  return (
    <span className={classes.box}>
      <span className={classes.figures}>
        <b>{current ?? "–"}</b>
        {moving && <> → {desired}</>}
        {(min !== null || max !== null) && (
          <span className={classes.bounds}>
            {min ?? "–"} to {max ?? "–"}
          </span>
        )}
      </span>
      {known && (
        <span className={classes.track} aria-hidden>
          <span className={classes.fill} style={{ width: place(current) }} />
          {desired !== null && <span className={classes.desired} style={{ left: place(desired) }} />}
        </span>
      )}
    </span>
  );
}
