import { IconAlertTriangle, IconCheck, IconLoader2, IconLogout2 } from "@tabler/icons-react";
import { type FleetNode, type Standing, standingOf } from "../../lib/fleet";
import classes from "./NodesPage.module.css";

const ICON = { ready: IconCheck, making: IconLoader2, leaving: IconLogout2, unready: IconAlertTriangle } as const;

/** A node's phase as a mark of shape, word and colour. */
export function PhaseBadge({ node }: { node: FleetNode }) {
  const standing: Standing = standingOf(node);
  const IconOf = ICON[standing];
  // A claim may be ready while its node has stopped being so.
  const words = standing === "unready" ? "Not ready" : node.phase || "Unknown";
  return (
    <span className={classes.badge} data-standing={standing}>
      <IconOf size={13} stroke={2.2} aria-hidden />
      {words}
    </span>
  );
}
