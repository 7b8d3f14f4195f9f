// @vitest-environment jsdom
import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError } from "../api/http";
import { Legend } from "./chart/Legend";
import { Meter } from "./Meter";
import { OutcomeBadge } from "./OutcomeBadge";
import { QueryError } from "./QueryError";
import { Replicas } from "./Replicas";

afterEach(cleanup);

const show = (content: ReactNode) => render(<MantineProvider>{content}</MantineProvider>);

describe("QueryError", () => {
  it("shows the server's own words for a refused query", () => {
    show(<QueryError error={new ApiError("1:5: parse error: unexpected end", 400, "bad_data")} />);
    expect(screen.getByRole("alert").textContent).toContain("The query was refused");
    expect(screen.getByText("1:5: parse error: unexpected end")).toBeTruthy();
  });
  it("says when nothing answers", () => {
    show(<QueryError error={new ApiError("", 0)} />);
    expect(screen.getByRole("alert").textContent).toContain("does not answer");
  });
});

describe("Legend", () => {
  const series = [
    { name: "idle", color: "#111111", values: [1, 2, null] },
    { name: "user", color: "#222222", values: [4, null, 8], hidden: true },
  ];
  it("shows figures in their unit, and toggles by click", () => {
    const onToggle = vi.fn();
    show(<Legend series={series} unit="perSecond" onToggle={onToggle} onHighlight={() => {}} />);
    const row = screen.getByRole("button", { name: "user" }).closest("tr") as HTMLElement;
    expect(
      within(row)
        .getAllByRole("cell")
        .map((cell) => cell.textContent),
    ).toEqual(["user", "8/s", "6/s", "4/s", "8/s"]);
    expect(screen.getByRole("button", { name: "user" }).getAttribute("aria-pressed")).toBe("false");
    fireEvent.click(screen.getByRole("button", { name: "idle" }), { ctrlKey: true });
    expect(onToggle).toHaveBeenCalledWith("idle", true);
  });
});

it("measures against a request only when there is one", () => {
  show(<Meter value={0.2} of={0.25} text="0.2" label="CPU" />);
  expect(screen.getByRole("meter").getAttribute("aria-valuenow")).toBe("80");
  cleanup();
  show(<Meter value={0.2} text="0.2" label="CPU" />);
  expect(screen.queryByRole("meter")).toBeNull();
});

it("shows where replicas are going", () => {
  show(<Replicas current={3} desired={5} min={2} max={10} />);
  expect(document.body.textContent).toContain("3 → 5");
  expect(document.body.textContent).toContain("2 to 10");
});

it("never tells an outcome by colour alone", () => {
  show(<OutcomeBadge outcome="Held" />);
  expect(screen.getByText("Held")).toBeTruthy();
});
