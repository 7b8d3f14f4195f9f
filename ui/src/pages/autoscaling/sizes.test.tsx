// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, describe, expect, it } from "vitest";
import { type DecisionRecord, parseRecord } from "../../lib/decision";
import { SIZE_LINE } from "../../lib/decision.samples";
import { SizeDecision } from "./SizeDecision";
import { SizesTable } from "./SizesTable";

afterEach(cleanup);

const show = (content: ReactNode) => render(<MantineProvider>{content}</MantineProvider>);
const record = parseRecord(SIZE_LINE, 0, "id") as DecisionRecord;

it("says what containers use, have and should have, and by whose estimate", () => {
  show(<SizesTable sizes={record.sizes} />);
  const row = screen.getByRole("rowheader", { name: "app (leader)" }).closest("tr") as HTMLElement;
  const cells = within(row).getAllByRole("cell");
  expect(cells.map((cell) => cell.textContent)).toEqual([
    "memory",
    "486 MiB",
    "512 MiBlimit 512 MiB",
    "640 MiB+25 %limit 640 MiB",
    "Peakasks for 640 MiB",
    "70 %",
    "killed for memory at 13:59:58",
  ]);
});

describe("SizeDecision", () => {
  it("opens the rules of what changes most, and others on request", () => {
    show(<SizeDecision record={record} />);
    expect(screen.getByText("512 MiB → 640 MiB")).toBeTruthy();
    expect(screen.queryByText("The record names no rules about this size.")).toBeNull();
    fireEvent.click(screen.getByRole("button", { name: "Rules about cpu of app" }));
    expect(screen.getByText("The record names no rules about this size.")).toBeTruthy();
  });
  it("counts pods only where a rule is about some", () => {
    show(<SizeDecision record={record} />);
    const rules = screen.getByRole("region", { name: "Rules" });
    expect(within(rules).getByText("3 pods → 2 pods")).toBeTruthy();
    expect(within(rules).queryByText("0 pods")).toBeNull();
  });
  it("says what came of each pod, and why", () => {
    show(<SizeDecision record={record} />);
    const pods = screen.getByRole("region", { name: "Pods" });
    expect(within(pods).getByText("checkout-2").closest("tr")?.textContent).toContain(
      "evictionBlocked PodDisruptionBudgetnone may go",
    );
  });
  it("says so when a record names nothing", () => {
    show(<SizeDecision record={{ ...record, sizes: [], pods: [], verdicts: [] }} />);
    expect(screen.getByText("No pod was acted on.")).toBeTruthy();
    expect(screen.getByText("The record names no rules about the whole target.")).toBeTruthy();
  });
});
