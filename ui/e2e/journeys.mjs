// What people do with the keyboard and the URL, step by step.

async function expectUrl(page, pattern, what) {
  try {
    await page.waitForURL(pattern, { timeout: 10_000 });
  } catch {
    throw new Error(`${what}: the URL is ${page.url()}`);
  }
}

/** @returns {{name: string, run: (page: import("playwright-core").Page, base: string) => Promise<void>}[]} */
export function journeys(stock) {
  const list = [
    {
      name: "the range is kept between pages, survives a reload, and can be left again",
      run: async (page, base) => {
        await page.goto(`${base}/?from=now-1h`);
        await page.getByRole("button", { name: "Last hour" }).waitFor();
        await page.keyboard.press("g");
        await page.keyboard.press("m");
        await expectUrl(page, /explore\/metrics\?.*from=now-1h/, "g m must keep the range");
        await page.reload();
        await page.getByRole("button", { name: "Last hour" }).click();
        await page.getByLabel("From").fill("2026-01-02 10:00");
        await page.getByLabel("To", { exact: true }).fill("2026-01-02 11:00");
        await page.keyboard.press("Enter");
        await expectUrl(page, /from=\d{13}&to=\d{13}/, "an absolute range stands in the URL as milliseconds");
        await page.getByRole("button", { name: /2026-01-02/ }).click();
        await page.getByRole("dialog").getByText("Last 5 minutes").click();
        await expectUrl(
          page,
          (url) => url.searchParams.get("from") === "now-5m" && !url.searchParams.has("to"),
          "a preset ends now",
        );
      },
    },
    {
      name: "the palette finds pages, and / focuses the filter",
      run: async (page, base) => {
        await page.goto(base);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await page.keyboard.press("Control+k");
        await page.getByPlaceholder(/Find pages/).fill("autoscaling");
        await page.keyboard.press("Enter");
        await expectUrl(page, /\/autoscaling/, "the palette must open the page");
        await page.getByRole("heading", { level: 1, name: "Autoscaling" }).waitFor();
        // While the palette fades out its field still has the keyboard.
        await page.getByPlaceholder(/Find pages/).waitFor({ state: "detached" });
        await page.keyboard.press("/");
        await page.keyboard.type("nothing has this name");
        await expectUrl(page, /find=nothing/, "the filter stands in the URL");
      },
    },
    {
      name: "a page that does not exist says so",
      run: async (page, base) => {
        await page.goto(`${base}/no/such/page`);
        await page.getByRole("heading", { level: 1, name: "No such page" }).waitFor();
      },
    },
    {
      name: "a query is written, completed by name, and run by Enter",
      run: async (page, base) => {
        if (!stock.metrics.includes("node_load1")) return;
        await page.goto(`${base}/explore/metrics`);
        await page.locator(".cm-content").click();
        await page.keyboard.type("node_load1", { delay: 30 });
        await page.locator(".cm-tooltip-autocomplete >> text=node_load1").first().waitFor();
        await page.keyboard.press("Escape");
        await page.locator(".cm-content").click();
        await page.keyboard.press("Control+Enter");
        await expectUrl(page, /expr=node_load1/, "the query stands in the URL");
        await page.locator("[role=img] canvas").first().waitFor();
      },
    },
  ];
  if (stock.logServices.length > 0) {
    list.push({
      name: "lines come in live",
      run: async (page, base) => {
        await page.goto(`${base}/explore/logs`);
        await page.getByRole("button", { name: "Go live" }).click();
        await page
          .getByText(/asking every second|Waiting for the next line/)
          .first()
          .waitFor();
        await expectUrl(page, /live=true/, "live stands in the URL");
      },
    });
  }
  if (stock.fleet?.nodes.length > 0) {
    list.push({
      name: "the table of nodes is walked by keyboard, and the link keeps the node",
      run: async (page, base) => {
        await page.goto(`${base}/nodes?refresh=off`);
        await page.locator("section[aria-label='Table of nodes']").focus();
        await page.keyboard.press("ArrowDown");
        await page.keyboard.press("Enter");
        await page.getByRole("dialog").getByText("Why it is there").waitFor();
        await expectUrl(page, /node=/, "the node stands in the URL");
        await page.reload();
        await page.getByRole("dialog").getByText("Why it is there").waitFor();
        await page.keyboard.press("Escape");
        await expectUrl(page, (url) => !url.searchParams.has("node"), "Esc closes the node");
      },
    });
  }
  if (stock.autoscalers[0]) {
    const { namespace, name } = stock.autoscalers[0];
    list.push({
      name: "a mark on the timeline opens its decision, and the link keeps it",
      run: async (page, base) => {
        await page.goto(`${base}/autoscaling/${namespace}/${name}?from=now-1h&refresh=off`);
        await page.locator("section[aria-label='Decisions over time'] button").last().click();
        await page.getByText("What the rules made of it").waitFor();
        await expectUrl(page, /at=\d+/, "the decision stands in the URL");
        await page.reload();
        await page.getByText("What the rules made of it").waitFor();
      },
    });
  }
  if (stock.sized[0]) {
    const { namespace, name } = stock.sized[0];
    list.push({
      name: "a mark on the sizes opens its decision, whatever the table's filters leave out",
      run: async (page, base) => {
        await page.goto(`${base}/autoscaling/${namespace}/${name}?from=now-1h&refresh=off&direction=horizontal`);
        await page.locator("section[aria-label='Changes of sizes over time'] button").last().click();
        await page.getByText("What the rules said about the target as a whole").waitFor();
        await expectUrl(
          page,
          (url) => url.searchParams.has("at") && !url.searchParams.has("direction"),
          "the decision stands in the URL, and the filter that hides it does not",
        );
        await page.reload();
        await page.getByText("What was done to pods").waitFor();
      },
    });
  }
  return list;
}
