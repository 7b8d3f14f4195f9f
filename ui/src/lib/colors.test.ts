import { expect, it } from "vitest";
import { seriesColor, serviceColors, withAlpha } from "./colors";

it("gives each service a colour of its own, whatever the order", () => {
  const names = ["frontend", "cart", "checkout", "payment", "catalog"];
  const color = serviceColors(names, "dark");
  expect(new Set(names.map(color)).size).toBe(names.length);
  const other = serviceColors(names.toReversed(), "dark");
  expect(names.map(other)).toEqual(names.map(color));
  expect(color("unheard of")).toMatch(/^#/);
});

it("goes round when there are more series than colours", () => {
  expect(seriesColor(100, "light")).toMatch(/^#/);
  expect(withAlpha("#102030", 0.5)).toBe("#10203080");
});
