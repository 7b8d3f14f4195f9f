// Colours of series. The same place in a list gets the same colour in both schemes, a little lighter on dark.

const LIGHT = [
  "#2f6fde",
  "#c2410c",
  "#0f8a6d",
  "#8a3ffc",
  "#b8860b",
  "#c2255c",
  "#0b7fab",
  "#5c7c0a",
  "#6741d9",
  "#a8471b",
  "#127a5e",
  "#99297a",
];
const DARK = [
  "#6ea8fe",
  "#ff9561",
  "#3fcfa6",
  "#b794ff",
  "#f0c04a",
  "#ff7fa6",
  "#4cc9f0",
  "#a9d34b",
  "#9c8cff",
  "#e8a87c",
  "#66d9b8",
  "#e58fd0",
];

export type Scheme = "light" | "dark";

export function seriesColor(index: number, scheme: Scheme): string {
  const palette = scheme === "dark" ? DARK : LIGHT;
  return palette[index % palette.length] ?? "#888888";
}

/** A stable colour for a name, so that a service looks the same on every page. */
export function nameColor(name: string, scheme: Scheme): string {
  let hash = 2166136261;
  for (let index = 0; index < name.length; index++) {
    hash ^= name.charCodeAt(index);
    hash = Math.imul(hash, 16777619);
  }
  return seriesColor(Math.abs(hash ^ (hash >>> 15)) % LIGHT.length, scheme);
}

export function withAlpha(hex: string, alpha: number): string {
  return `${hex}${Math.round(alpha * 255)
    .toString(16)
    .padStart(2, "0")}`;
}

export type Level = "error" | "warn" | "info" | "debug" | "trace" | "unknown";

export function levelColor(level: Level, scheme: Scheme): string {
  const dark = scheme === "dark";
  switch (level) {
    case "error":
      return dark ? "#ff7b72" : "#c92a2a";
    case "warn":
      return dark ? "#f2b134" : "#9a6700";
    case "info":
      return dark ? "#6ea8fe" : "#2f6fde";
    case "debug":
      return dark ? "#8b97a8" : "#66707d";
    case "trace":
      return dark ? "#9d8cff" : "#6741d9";
    default:
      return dark ? "#98a2b3" : "#7b8794";
  }
}
