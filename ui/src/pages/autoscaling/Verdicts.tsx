import { IconArrowsLeftRight, IconCheck, IconLock } from "@tabler/icons-react";
import { type Verdict, verdictStep } from "../../lib/decision";
import classes from "./Verdicts.module.css";

const ACTION_ICON = { Pass: IconCheck, Change: IconArrowsLeftRight, Hold: IconLock } as const;

interface VerdictsProps {
  verdicts: Verdict[];
  /** How the numbers of a step are written. */
  write?: (value: number) => string;
  none: string;
}

/** What each rule said, in order. */
export function Verdicts({ verdicts, write, none }: VerdictsProps) {
  if (verdicts.length === 0) return <p className={classes.none}>{none}</p>;
  return (
    <ol className={classes.chain}>
      {verdicts.map((verdict, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the chain is a fixed order, and a rule may stand in it twice
        <VerdictRow key={index} verdict={verdict} write={write} />
      ))}
    </ol>
  );
}

function VerdictRow({ verdict, write }: { verdict: Verdict; write?: (value: number) => string }) {
  const IconOf = ACTION_ICON[verdict.action as keyof typeof ACTION_ICON] ?? IconCheck;
  return (
    <li className={classes.verdict} data-action={verdict.action} data-wide={write ? true : undefined}>
      <span className={classes.action}>
        <IconOf size={14} stroke={2.2} aria-hidden />
        {verdict.action}
      </span>
      <span className={classes.rule}>{verdict.rule}</span>
      <span className={classes.step}>{verdictStep(verdict, write)}</span>
      <span>{verdict.reason}</span>
    </li>
  );
}
