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

// Without the reds, which mean an error, and in an order in which neighbours differ most.
const SERVICES_LIGHT = [
  "#2f6fde",
  "#0f8a6d",
  "#8a3ffc",
  "#b8860b",
  "#0b7fab",
  "#5c7c0a",
  "#99297a",
  "#a8471b",
  "#495ec9",
  "#127a5e",
];
const SERVICES_DARK = [
  "#6ea8fe",
  "#3fcfa6",
  "#b794ff",
  "#f0c04a",
  "#4cc9f0",
  "#a9d34b",
  "#e58fd0",
  "#e8a87c",
  "#9aa5ff",
  "#66d9b8",
];

/**
 * One colour for each service, the same on every page as long as the set of services is the same. Given by place and
 * not by hash: two of five services sharing a colour would make a waterfall unreadable.
 */
export function serviceColors(names: Iterable<string>, scheme: Scheme): (name: string) => string {
  const palette = scheme === "dark" ? SERVICES_DARK : SERVICES_LIGHT;
  const sorted = [...new Set(names)].sort();
  const places = new Map(sorted.map((name, index) => [name, index]));
  return (name) => palette[(places.get(name) ?? 0) % palette.length] as string;
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
