import { expect, it } from "vitest";
import { parseSearch, rangeSearch, stringifySearch } from "./search";

it("carries any text through the URL", () => {
  const search = { expr: '{a="b&c"} |= "100%"', from: "now-1h", limit: "500" };
  expect(parseSearch(stringifySearch(search))).toEqual(search);
});

it("leaves out what is not set", () => {
  expect(stringifySearch({ a: undefined, b: "", c: "x" })).toBe("?c=x");
  expect(stringifySearch({})).toBe("");
});

it("keeps numbers as the text they were", () => {
  expect(rangeSearch.parse(parseSearch("?from=1795442400000&to=1795442460000"))).toEqual({
    from: "1795442400000",
    to: "1795442460000",
  });
});
