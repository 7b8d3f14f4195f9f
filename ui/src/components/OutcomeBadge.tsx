import {
  IconAlertTriangle,
  IconArrowDown,
  IconArrowUp,
  IconEye,
  IconHelp,
  IconLock,
  IconMinus,
  IconPencil,
} from "@tabler/icons-react";
import type { Outcome } from "../lib/autoscaling";
import type { Scheme } from "../lib/colors";
import classes from "./OutcomeBadge.module.css";

export const OUTCOME_LABEL: Record<Outcome, string> = {
  ScaledOut: "Scaled out",
  ScaledIn: "Scaled in",
  Unchanged: "Unchanged",
  Held: "Held",
  Recommended: "Recommended",
  Observed: "Observed",
  Failed: "Failed",
  Unknown: "Unknown",
};

export const OUTCOME_ICON = {
  ScaledOut: IconArrowUp,
  ScaledIn: IconArrowDown,
  Unchanged: IconMinus,
  Held: IconLock,
  Recommended: IconPencil,
  Observed: IconEye,
  Failed: IconAlertTriangle,
  Unknown: IconHelp,
} as const;

/** An outcome as a mark of shape, word and colour: never of colour alone. */
export function OutcomeBadge({ outcome }: { outcome: Outcome }) {
  const IconOf = OUTCOME_ICON[outcome];
  return (
    <span className={classes.badge} data-outcome={outcome}>
      <IconOf size={13} stroke={2.2} aria-hidden />
      {OUTCOME_LABEL[outcome]}
    </span>
  );
}

export function outcomeColor(outcome: Outcome, scheme: Scheme): string {
  const dark = scheme === "dark";
  switch (outcome) {
    case "ScaledOut":
      return dark ? "#45cfa4" : "#0b7556";
    case "ScaledIn":
      return dark ? "#86abf7" : "#2a56c6";
    case "Held":
      return dark ? "#efb342" : "#8a5a00";
    case "Failed":
      return dark ? "#ff8078" : "#c02626";
    case "Recommended":
    case "Observed":
      return dark ? "#b794ff" : "#7a2fc2";
    default:
      return dark ? "#98a3b4" : "#566070";
  }
}
