// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { ApiError } from "../../api/http";
import { type FleetNode, fleetSchema, parseSort } from "../../lib/fleet";
import { ANSWER, NODE } from "../../lib/fleet.samples";
import { FleetSummary } from "./FleetSummary";
import { MovesPanel } from "./MovesPanel";
import { cellSize, describe as describeZone } from "./NodeMap";
import { Unavailable } from "./NodesPage";
import { formatAge, NodeTable } from "./NodeTable";
import { PendingPanel } from "./PendingPanel";

afterEach(cleanup);
// jsdom lays nothing out, and of a table without a height no row is drawn.
beforeAll(() => {
  vi.spyOn(Element.prototype, "clientHeight", "get").mockReturnValue(640);
  vi.spyOn(Element.prototype, "clientWidth", "get").mockReturnValue(1200);
});
afterAll(() => {
  vi.restoreAllMocks();
});

const show = (content: ReactNode) => render(<MantineProvider>{content}</MantineProvider>);
const many = (count: number): FleetNode[] =>
  Array.from({ length: count }, (_, index) => ({ ...NODE, name: `n-${index}` }));

describe("NodeTable", () => {
  const table = (nodes: FleetNode[], change: Partial<Parameters<typeof NodeTable>[0]> = {}) =>
    show(
      <NodeTable
        nodes={nodes}
        sort={parseSort("-cpu")}
        now={Date.parse("2026-11-23T14:00:00Z")}
        onSort={() => {}}
        onOpen={() => {}}
        {...change}
      />,
    );
  it("says why a node stays and why it is there", () => {
    table([NODE]);
    const row = screen.getByRole("button", { name: "general-2" }).closest("tr") as HTMLElement;
    expect(row.textContent).toContain("TooYoung it is 4 min old");
    expect(row.textContent).toContain("for 7 pods of shop/checkout");
    expect(within(row).getAllByRole("meter")[0]?.getAttribute("aria-valuenow")).toBe("75");
    expect(row.textContent).toContain("1 h 0 min");
  });
  it("draws a few rows of thousands, and counts them all", () => {
    table(many(5000));
    expect(screen.getByRole("table").getAttribute("aria-rowcount")).toBe("5001");
    const drawn = screen.getAllByRole("row").length;
    expect(drawn).toBeGreaterThan(10);
    expect(drawn).toBeLessThan(60);
  });
  it("sorts by what is clicked, and says by what it is sorted", () => {
    const onSort = vi.fn();
    table(many(2), { onSort });
    expect(screen.getByRole("columnheader", { name: "CPU" }).getAttribute("aria-sort")).toBe("descending");
    fireEvent.click(screen.getByRole("button", { name: "CPU" }));
    fireEvent.click(screen.getByRole("button", { name: "Zone" }));
    expect(onSort.mock.calls).toEqual([["cpu"], ["zone"]]);
  });
  it("is walked by keyboard", () => {
    const onOpen = vi.fn();
    table(many(3), { onOpen });
    const region = screen.getByRole("region", { name: "Table of nodes" });
    fireEvent.keyDown(region, { key: "Enter" });
    fireEvent.keyDown(region, { key: "ArrowDown" });
    fireEvent.keyDown(region, { key: "ArrowDown" });
    fireEvent.keyDown(region, { key: "Enter" });
    expect(onOpen.mock.calls).toEqual([["n-1"]]);
  });
});

it("says how far the cost is from the least that it could be", () => {
  show(<FleetSummary fleet={fleetSchema.parse(ANSWER)} />);
  const figures = screen.getByRole("region", { name: "The fleet in figures" });
  expect(figures.textContent).toContain("the cost is 20 % above it");
  expect(figures.textContent).toContain("1 ready, 1 being made");
});

it("tells moves that are planned from those under way", () => {
  const onOpen = vi.fn();
  const move = { policy: "general", reason: "Empty", pods: 0, saving: 0.1, message: "no pod runs on it" };
  show(
    <MovesPanel
      onOpen={onOpen}
      moves={[
        { ...move, step: "Draining", remove: ["n-1"], create: ["n-7"] },
        { ...move, step: "Recommended", remove: ["n-2"], create: ["m5.large"] },
      ]}
    />,
  );
  expect(screen.getByRole("region", { name: "Moves" }).textContent).toContain("1 under way, 1 planned");
  fireEvent.click(screen.getByRole("button", { name: "n-7" }));
  expect(onOpen).toHaveBeenCalledWith("n-7");
  // What is not bought yet has no page.
  expect(screen.queryByRole("button", { name: "m5.large" })).toBeNull();
});

it("says why pods wait, once for all that wait for it", () => {
  const pending = Array.from({ length: 40 }, (_, index) => ({
    namespace: "shop",
    name: `burst-${index}`,
    node: "",
    reasons: ["no offer has 96 cores"],
  }));
  show(<PendingPanel pending={pending} count={700} onOpen={() => {}} />);
  expect(screen.getByText("the first 40 of 700")).toBeTruthy();
  expect(screen.getAllByText("no offer has 96 cores")).toHaveLength(1);
  expect(screen.queryByText("burst-39")).toBeNull();
  fireEvent.click(screen.getByRole("button", { name: "and 37 more" }));
  expect(screen.getByText("burst-39")).toBeTruthy();
});

describe("Unavailable", () => {
  it.each([
    [new ApiError("no autoscaler is configured", 501), "No autoscaler is configured", "query.autoscaler.url"],
    [
      new ApiError("it does not lead: Following", 503),
      "No autoscaler speaks for the nodes",
      "it does not lead: Following",
    ],
    [new ApiError("broken", 500), "The fleet could not be read", "broken"],
  ])("says what to do about %s", (error, title, words) => {
    show(<Unavailable error={error} />);
    expect(document.body.textContent).toContain(title);
    expect(document.body.textContent).toContain(words);
  });
});

it("draws smaller cells for larger fleets", () => {
  expect([10, 300, 1000, 5000].map(cellSize)).toEqual([26, 18, 12, 9]);
});

it("tells a zone in words", () => {
  const nodes = [NODE, { ...NODE, phase: "Draining" }, NODE];
  expect(describeZone({ zone: "eu-a", nodes, cost: 1 })).toBe("eu-a: 2 ready, 1 leaving");
});

it.each([
  [-5, "0 s"],
  [90_000, "90 s"],
  [3_725_000, "1 h 2 min"],
  [725_000, "12 min"],
])("writes an age of %s ms as %s", (ms, want) => expect(formatAge(ms)).toBe(want));
