import { describe, expect, it } from "vitest";
import { alignSeries, distinguishingLabels, formatLabels, largest, seriesNames, summarize } from "./series";

describe("alignSeries", () => {
  it("puts samples on the grid and leaves holes open", () => {
    const frame = alignSeries(
      [
        {
          labels: {},
          samples: [
            [100, 1],
            [120, 3],
          ],
        },
        {
          labels: {},
          samples: [
            [110, Number.NaN],
            [999, 5],
          ],
        },
      ],
      100,
      120,
      10,
    );
    expect(frame.times).toEqual([100, 110, 120]);
    expect(frame.columns).toEqual([
      [1, null, 3],
      [null, null, null],
    ]);
  });
  it("survives steps that are no binary fractions", () => {
    const frame = alignSeries([{ labels: {}, samples: [[0.3, 7]] }], 0, 0.5, 0.1);
    expect(frame.times).toHaveLength(6);
    expect(frame.columns[0]?.[3]).toBe(7);
  });
});

describe("seriesNames", () => {
  it("keeps only what tells series apart", () => {
    const labels = [
      { __name__: "up", job: "node", pod: "a" },
      { __name__: "up", job: "node", pod: "b" },
    ];
    expect(distinguishingLabels(labels)).toEqual(["pod"]);
    expect(seriesNames(labels)).toEqual(["a", "b"]);
  });
  it("names labels when several differ, known ones first", () => {
    expect(
      seriesNames([
        { mode: "idle", namespace: "x" },
        { mode: "user", namespace: "y" },
      ]),
    ).toEqual(["namespace=x mode=idle", "namespace=y mode=user"]);
  });
  it("names a lone series by its metric", () => {
    expect(seriesNames([{ __name__: "up", job: "x" }])).toEqual(["up"]);
    expect(seriesNames([{}], "result")).toEqual(["result"]);
  });
  it("shows the metric where metrics differ", () => {
    expect(seriesNames([{ __name__: "a" }, { __name__: "b" }])).toEqual(["a", "b"]);
  });
});

it("formats labels in one order", () => {
  expect(formatLabels({ __name__: "up", b: "1", pod: "p", a: "2" })).toBe('up{pod="p", a="2", b="1"}');
});

it("summarizes without the holes", () => {
  expect(summarize([null, 4, 2, null])).toEqual({ last: 2, min: 2, max: 4, mean: 3 });
  expect(summarize([null])).toEqual({ last: null, min: null, max: null, mean: null });
});

it("picks the largest columns and keeps their order", () => {
  expect(largest([[1], [5, null], [null], [3]], 2)).toEqual([1, 3]);
  expect(largest([[1], [null]], 2)).toEqual([0, 1]);
});
