import {
  IconAlertTriangle,
  IconArrowBackUp,
  IconArrowDown,
  IconArrowsMinimize,
  IconArrowsVertical,
  IconArrowUp,
  IconBolt,
  IconEye,
  IconHelp,
  IconLock,
  IconMinus,
  IconPencil,
  IconPlus,
  IconRefresh,
  IconRotate,
  IconTool,
} from "@tabler/icons-react";
import type { Scheme } from "../lib/colors";
import type { Occasion } from "../lib/decision";
import classes from "./OutcomeBadge.module.css";

export const OUTCOME_LABEL: Record<Occasion, string> = {
  ScaledOut: "Scaled out",
  ScaledIn: "Scaled in",
  Resized: "Resized",
  Recreated: "Recreated",
  RolledBack: "Rolled back",
  KillAnswered: "Kill answered",
  Provisioned: "Provisioned",
  Consolidated: "Consolidated",
  Repaired: "Repaired",
  Renewed: "Renewed",
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
  Resized: IconArrowsVertical,
  Recreated: IconRefresh,
  RolledBack: IconArrowBackUp,
  KillAnswered: IconBolt,
  Provisioned: IconPlus,
  Consolidated: IconArrowsMinimize,
  Repaired: IconTool,
  Renewed: IconRotate,
  Unchanged: IconMinus,
  Held: IconLock,
  Recommended: IconPencil,
  Observed: IconEye,
  Failed: IconAlertTriangle,
  Unknown: IconHelp,
} as const;

/** An outcome as a mark of shape, word and colour: never of colour alone. */
export function OutcomeBadge({ outcome }: { outcome: Occasion }) {
  const IconOf = OUTCOME_ICON[outcome];
  return (
    <span className={classes.badge} data-outcome={outcome}>
      <IconOf size={13} stroke={2.2} aria-hidden />
      {OUTCOME_LABEL[outcome]}
    </span>
  );
}

export function outcomeColor(outcome: Occasion, scheme: Scheme): string {
  const dark = scheme === "dark";
  switch (outcome) {
    case "ScaledOut":
    case "Resized":
    case "Provisioned":
      return dark ? "#45cfa4" : "#0b7556";
    case "ScaledIn":
    case "Recreated":
    case "Consolidated":
    case "Renewed":
      return dark ? "#86abf7" : "#2a56c6";
    case "KillAnswered":
    case "Repaired":
      return dark ? "#ff9561" : "#b03a08";
    case "Held":
    case "RolledBack":
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
