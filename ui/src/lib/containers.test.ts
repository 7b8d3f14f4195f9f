import { expect, it } from "vitest";
import { filterContainers, joinContainers, sortContainers } from "./containers";

const sample = (labels: Record<string, string>, value: number) => ({ labels, time: 0, value });
const web = { namespace: "shop", pod: "web-1", container: "web", node: "n1" };
const db = { namespace: "shop", pod: "db-1", container: "db" };

it("joins figures by container; requests alone make no row", () => {
  const rows = joinContainers({
    cpuRequest: [sample({ ...web, node: "" }, 0.5), sample({ namespace: "x", pod: "gone", container: "c" }, 1)],
    cpu: [sample(web, 0.2), sample({}, 9)],
    memory: [sample(db, 100), sample(web, Number.NaN)],
  });
  expect(rows).toHaveLength(2);
  expect(rows.find((row) => row.pod === "web-1")).toMatchObject({
    cpu: 0.2,
    cpuRequest: 0.5,
    node: "n1",
  });
});

it("sorts unknown figures last and filters by words", () => {
  const rows = joinContainers({ cpu: [sample(web, 0.2)], memory: [sample(db, 1)] });
  expect(sortContainers(rows, "cpu").map((row) => row.pod)).toEqual(["web-1", "db-1"]);
  expect(sortContainers(rows, "name").map((row) => row.pod)).toEqual(["db-1", "web-1"]);
  expect(filterContainers(rows, "SHOP db").map((row) => row.pod)).toEqual(["db-1"]);
});
