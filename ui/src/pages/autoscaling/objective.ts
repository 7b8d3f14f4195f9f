// Values of objectives in their own units, as the record names them.

import { formatValue, type Unit } from "../../lib/units";

/** The unit of a record ("percent", "cores", "bytes", …) as one of ours. */
export function objectiveUnit(unit: string): Unit {
  switch (unit.toLowerCase()) {
    case "percent":
    case "%":
      return "percent";
    case "bytes":
    case "byte":
      return "bytes";
    case "seconds":
    case "s":
      return "seconds";
    case "cores":
      return "cores";
    case "persecond":
    case "per second":
    case "1/s":
      return "perSecond";
    default:
      return "number";
  }
}

export function formatObjective(value: number | null, unit: string): string {
  return formatValue(value, objectiveUnit(unit));
}
