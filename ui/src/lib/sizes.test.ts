import { describe, expect, it } from "vitest";
import { type DecisionRecord, parseRecord, type Size } from "./decision";
import { SIZE_LINE } from "./decision.samples";
import {
  assembleSizes,
  changedSizes,
  changeOf,
  containerName,
  limitFits,
  newestSizes,
  podResults,
  resourceUnit,
  sizeStep,
} from "./sizes";

function record(ms: number, change: Partial<DecisionRecord> = {}): DecisionRecord {
  const parsed = parseRecord(SIZE_LINE, 0, `id ${ms}`);
  if (!parsed) throw new Error("the sample record does not parse");
  return { ...parsed, ms, ...change };
}

function size(change: Partial<Size>): Size {
  return { ...(record(0).sizes[0] as Size), ...change };
}

describe("changes", () => {
  it.each([
    [0.5, 0.25, -0.5],
    [0.5, 1, 1],
    [0.5, 0.5, null],
    [null, 1, null],
    [0, 1, null],
    [0.5, null, null],
  ])("from %s to %s is %s", (request, desired, want) => {
    expect(changeOf({ request, desired })).toBe(want);
  });
  it.each([
    [size({ request: 0.5, desired: 0.25 }), "0.5 → 0.25"],
    [size({ request: 0.5, desired: 0.5 }), "0.5"],
    [size({ request: 0.5, desired: null }), "0.5"],
    [size({ request: null, desired: 2 ** 29, resource: "memory" }), "512 MiB"],
    [size({ request: null, desired: null }), "–"],
  ])("are written as people write them (%#)", (of, want) => {
    expect(sizeStep(of)).toBe(want);
  });
  it("come with the largest factor first, first requests before all", () => {
    const sizes = [
      size({ container: "a", request: 1, desired: 1 }),
      size({ container: "b", request: 1, desired: 1.5 }),
      size({ container: "c", request: 1, desired: 0.25 }),
      size({ container: "d", request: null, desired: 1 }),
      size({ container: "e", request: 1, desired: null }),
    ];
    expect(changedSizes(record(0, { sizes })).map(({ container }) => container)).toEqual(["d", "c", "b"]);
  });
});

it("names containers with their role", () => {
  expect(containerName({ container: "app", role: "" })).toBe("app");
  expect(containerName({ container: "app", role: "leader" })).toBe("app (leader)");
});

it.each([
  ["cpu", "cores"],
  ["memory", "bytes"],
  ["ephemeral-storage", "bytes"],
  ["hugepages-2Mi", "bytes"],
  ["example.com/thing", "number"],
])("measures %s in %s", (resource, unit) => expect(resourceUnit(resource)).toBe(unit));

it("counts what came of actions on pods", () => {
  const { pods } = record(0);
  expect(podResults([...pods, ...pods.slice(0, 1)])).toBe("2 done, 1 blocked");
  expect(podResults([])).toBe("");
});

describe("assembleSizes", () => {
  const grid = { start: 100, end: 130, step: 10 };
  const labels = { target_namespace: "shop", autoscaler: "checkout", target_container: "app", resource: "memory" };
  const series = (name: string, samples: [number, number][], more = {}) => ({
    labels: { __name__: `yagura_autoscaler_size_${name}`, ...labels, ...more },
    samples,
  });
  it("puts series on the grid, lets silence show, and keeps roles apart", () => {
    const { times, tracks } = assembleSizes(
      [],
      [
        series("usage", [[105, 7]]),
        series("request", [[100, 8]], { role: "default" }),
        series("request", [[110, 9]], { role: "leader" }),
        series("confidence_ratio", [[100, 1]]),
        series("usage", [[100, 1]], { target_container: "" }),
      ],
      grid,
      15,
    );
    expect(times).toEqual([100, 110, 120, 130]);
    expect(tracks.map(({ key }) => key)).toEqual(["app//memory", "app/leader/memory"]);
    expect(tracks[0]).toMatchObject({
      usage: [null, 7, 7, null],
      request: [8, 8, null, null],
      limit: Array(4).fill(null),
    });
    expect(tracks[1]?.request).toEqual([null, 9, 9, null]);
  });
  it("fills from records what no series tells, and puts CPU before memory", () => {
    const { tracks } = assembleSizes([record(110_000)], [series("request", [[100, 5]], { role: "leader" })], grid);
    expect(tracks.map(({ key }) => key)).toEqual(["app//cpu", "app/leader/memory"]);
    expect(tracks[0]?.usage).toEqual([null, 0.31, 0.31, 0.31]);
    expect(tracks[1]?.request).toEqual([5, 5, 5, 5]);
    expect(tracks[1]?.limit).toEqual([null, 536_870_912, 536_870_912, 536_870_912]);
  });
  it("marks a change where it was made: in the lanes that it was about", () => {
    const held = { outcome: "Held" as const, code: "Signal" };
    const { tracks, markers } = assembleSizes(
      [record(120_000), record(110_000, held), record(115_000, held)],
      [],
      grid,
    );
    expect(markers.map(({ ms, occasion }) => [ms, occasion])).toEqual([
      [110_000, "Held"],
      [120_000, "KillAnswered"],
    ]);
    expect(tracks.map(({ markers: marks }) => marks.length)).toEqual([0, 2]);
  });
  it("marks a change that names no size in every lane", () => {
    const even = record(110_000).sizes.map((of) => ({ ...of, desired: of.request }));
    const { tracks } = assembleSizes([record(110_000, { outcome: "RolledBack", sizes: even })], [], grid);
    expect(tracks.map(({ markers: marks }) => marks.length)).toEqual([1, 1]);
  });
  it("says when a limit would hide the rest", () => {
    const of = (limit: number) => {
      const [track] = assembleSizes([], [series("usage", [[100, 10]]), series("limit", [[100, limit]])], grid).tracks;
      return track && limitFits(track);
    };
    expect(of(40)).toBe(true);
    expect(of(41)).toBe(false);
  });
});

describe("newestSizes", () => {
  const grid = { start: 100, end: 110, step: 10 };
  it("reads the newest record", () => {
    expect(newestSizes(record(0), undefined).map(({ resource }) => resource)).toEqual(["cpu", "memory"]);
  });
  it("reads the series where there is no record", () => {
    const labels = { __name__: "yagura_autoscaler_size_request", target_container: "app", resource: "cpu" };
    const timeline = assembleSizes([], [{ labels, samples: [[100, 2]] }], grid);
    expect(newestSizes(undefined, timeline)).toMatchObject([{ container: "app", request: 2, usage: null, model: "" }]);
  });
  it("knows nothing without either", () => expect(newestSizes(undefined, undefined)).toEqual([]));
});
