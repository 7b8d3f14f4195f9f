import classes from "./Meter.module.css";

interface MeterProps {
  value: number;
  /** What full means; without it there is only a number. */
  of?: number;
  label: string;
  text: string;
  detail?: string;
  /** Without a tone: where a full meter is neither good nor bad. */
  plain?: boolean;
}

/** A number with a bar under it when there is something to measure it against. */
export function Meter({ value, of, label, text, detail, plain }: MeterProps) {
  const share = of && of > 0 ? Math.min(1, Math.max(0, value / of)) : undefined;
  const tone =
    share === undefined ? undefined : plain ? "plain" : share >= 0.9 ? "bad" : share >= 0.75 ? "warn" : "good";
  return (
    <div className={classes.meter}>
      <div className={classes.line}>
        <span className="num">{text}</span>
        {detail && <span className={classes.detail}>{detail}</span>}
      </div>
      {share !== undefined && (
        // biome-ignore lint/a11y/useSemanticElements: a <meter> cannot be styled alike in all browsers
        <div
          className={classes.track}
          role="meter"
          aria-label={label}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.round(share * 100)}
        >
          <div className={classes.fill} data-tone={tone} style={{ width: `${share * 100}%` }} />
        </div>
      )}
    </div>
  );
}
