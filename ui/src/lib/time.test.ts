import { describe, expect, it } from "vitest";
import {
  alignRange,
  autoRefreshMs,
  describeRange,
  formatAgo,
  formatClockMs,
  formatDateTime,
  parseDuration,
  parseTime,
  resolveRange,
  stepSeconds,
} from "./time";

const NOW = Date.UTC(2026, 10, 23, 14, 0, 0);

describe("parseDuration", () => {
  it.each([
    ["15m", 900_000],
    ["1h30m", 5_400_000],
    ["500ms", 500],
    ["1.5s", 1500],
    ["2d", 172_800_000],
  ])("reads %s", (text, want) => expect(parseDuration(text)).toBe(want));
  it.each(["", "15", "m", "15x", "1h-30m", "now"])("refuses %j", (text) => expect(parseDuration(text)).toBeUndefined());
});

describe("parseTime", () => {
  it.each([
    ["now", NOW],
    ["now-15m", NOW - 900_000],
    ["now - 1h30m", NOW - 5_400_000],
    ["now+5s", NOW + 5000],
    ["1795442400000", 1_795_442_400_000],
    ["1795442400", 1_795_442_400_000],
    ["2026-11-23T13:00:00Z", NOW - 3_600_000],
    ["2026-11-23T14:00:00+01:00", NOW - 3_600_000],
  ])("reads %s", (text, want) => expect(parseTime(text, NOW)).toBe(want));
  it("reads plain dates in the zone shown", () => {
    expect(parseTime("2026-11-23 13:00", NOW, "utc")).toBe(NOW - 3_600_000);
    expect(parseTime("2026-11-23 13:00:30.5", NOW, "utc")).toBe(NOW - 3_600_000 + 30_500);
    expect(parseTime("2026-11-23", NOW, "utc")).toBe(Date.UTC(2026, 10, 23));
  });
  it.each(["", "yesterday", "now-", "now-15", "23:00"])("refuses %j", (text) =>
    expect(parseTime(text, NOW)).toBeUndefined(),
  );
});

describe("resolveRange", () => {
  it("defaults to the last quarter of an hour", () => {
    expect(resolveRange({}, NOW)).toEqual({ from: NOW - 900_000, to: NOW });
  });
  it("turns a reversed range round", () => {
    expect(resolveRange({ from: "now", to: "now-1h" }, NOW)).toEqual({ from: NOW - 3_600_000, to: NOW });
  });
  it("never yields an empty range", () => {
    const range = resolveRange({ from: "now", to: "now" }, NOW);
    expect(range.to).toBeGreaterThan(range.from);
  });
  it("replaces nonsense by the default", () => {
    expect(resolveRange({ from: "x", to: "y" }, NOW)).toEqual({ from: NOW - 900_000, to: NOW });
  });
});

describe("steps", () => {
  it.each([
    [900_000, 900, 1],
    [900_000, 400, 5],
    [3_600_000, 300, 15],
    [7 * 86_400_000, 300, 3600],
    [365 * 86_400_000, 10, 37 * 86_400],
  ])("for %d ms in %d points is %d s", (length, points, want) => {
    expect(stepSeconds({ from: 0, to: length }, points)).toBe(want);
  });
  it("aligns both ends backwards, so that no point lies in the future", () => {
    expect(alignRange({ from: 12_345, to: 27_999 }, 5)).toEqual({ from: 10_000, to: 25_000 });
  });
  it("refreshes short ranges more often", () => {
    expect(autoRefreshMs({ from: 0, to: 900_000 })).toBeLessThan(autoRefreshMs({ from: 0, to: 86_400_000 }));
  });
});

describe("formatting", () => {
  it("shows UTC when asked to", () => {
    expect(formatDateTime(NOW, "utc")).toBe("2026-11-23 14:00:00");
    expect(formatClockMs(NOW + 7, "utc")).toBe("14:00:00.007");
  });
  it.each([
    [2000, "just now"],
    [42_000, "42 s ago"],
    [600_000, "10 min ago"],
    [4 * 3_600_000, "4 h ago"],
    [-5000, "just now"],
  ])("says how long ago %d ms was", (age, want) => expect(formatAgo(NOW - age, NOW)).toBe(want));
  it("names presets and says the day once", () => {
    expect(describeRange({}, "utc")).toBe("Last 15 minutes");
    expect(describeRange({ from: "now-90m" }, "utc")).toBe("Last 90m");
    expect(describeRange({ from: String(NOW - 60_000), to: String(NOW) }, "utc")).toBe(
      "2026-11-23 13:59:00 to 14:00:00",
    );
  });
});
