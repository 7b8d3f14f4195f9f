// Every page, and what it must show given what the server holds.

/**
 * @typedef {object} PageCheck
 * @property {string} name   of the screenshot
 * @property {string} path
 * @property {(page: import("playwright-core").Page) => Promise<void>} check
 */

// Charts wait for their queries, and those wait for whatever else the machine does.
const PATIENCE_MS = 30_000;

const visible = (page, selector, options) =>
  page.locator(selector, options).first().waitFor({ state: "visible", timeout: PATIENCE_MS });
const text = (page, wanted) => visible(page, `text=${wanted}`);

async function atLeast(page, selector, count, what) {
  try {
    await page
      .locator(selector)
      .nth(count - 1)
      .waitFor({ state: "visible", timeout: PATIENCE_MS });
  } catch {
    throw new Error(`${await page.locator(selector).count()} ${what}, wanted at least ${count}`);
  }
}

/** @returns {PageCheck[]} */
export function pageChecks(stock) {
  const logExpr = stock.logServices.length > 0 ? `{service_name="${stock.logServices[0]}"}` : '{service_name=~".+"}';
  const checks = [
    {
      name: "overview",
      path: "/",
      check: async (page) => {
        if (stock.metrics.includes("node_cpu_seconds_total")) {
          await atLeast(page, "section[aria-labelledby=node-heading] canvas", 3, "node charts");
          if (stock.nodes[0]) await text(page, stock.nodes[0]);
        } else await text(page, "No node series in this range");
        if (stock.pods.length > 0) await visible(page, "section[aria-label='Usage by container'] tbody tr");
        else await text(page, "Observing this host only");
        if (stock.services.length > 0)
          await visible(page, `section[aria-label=Services] >> text="${stock.services[0]}"`);
        else await text(page, "No traces yet");
        if (stock.logServices.length > 0) await visible(page, "section[aria-label='Log rate'] canvas");
        const [first] = [...stock.autoscalers, ...stock.sized];
        if (first) await visible(page, `section[aria-label=Autoscalers] >> text=${first.name}`);
        else await text(page, "No autoscaler has reported");
      },
    },
    {
      name: "metrics",
      path: "/explore/metrics",
      check: async (page) => {
        await atLeast(page, "[role=option]", Math.min(5, stock.metrics.length), "metric names");
        await text(page, "Pick a metric on the left");
      },
    },
    {
      name: "logs",
      path: `/explore/logs?expr=${encodeURIComponent(logExpr)}`,
      check: async (page) => {
        await visible(page, ".cm-content");
        if (stock.logServices.length === 0) return text(page, "No lines in this range");
        await atLeast(page, "section[aria-label='Log lines'] button", 1, "log lines");
        await page.locator("section[aria-label='Log lines'] button[aria-expanded]").first().click();
        await text(page, "Stream labels");
        await text(page, "service_name");
      },
    },
    {
      name: "traces",
      path: "/traces",
      check: async (page) => {
        if (stock.services.length === 0) return text(page, "No traces yet");
        await visible(page, "form >> text=Operation");
        await visible(page, "a[href*='/traces/'], :text('No trace matches')");
      },
    },
    {
      name: "autoscaling",
      path: "/autoscaling",
      check: async (page) => {
        const all = [...stock.autoscalers, ...stock.sized];
        if (all.length === 0) return text(page, "No autoscaler has reported");
        for (const { name } of all) await visible(page, `td >> text="${name}"`);
      },
    },
    {
      name: "nodes",
      path: "/nodes",
      // Without an autoscaler the refusal is the point, and Chromium reports it on the console.
      tolerate: stock.fleet ? undefined : /status of 50[13]/,
      check: async (page) => {
        if (!stock.fleet) return visible(page, ":text('No autoscaler is configured'), :text('No autoscaler speaks')");
        await visible(page, "section[aria-label='The fleet in figures'] >> text=Lower bound");
        await visible(page, "section[aria-label='Table of nodes'] tbody button");
        await atLeast(page, "section[aria-label='All nodes'] canvas[role=img]", 1, "zones");
        for (const { name } of stock.fleet.policies)
          await visible(page, `section[aria-label=Policies] >> text="${name}"`);
      },
    },
  ];
  const [first] = stock.fleet?.nodes ?? [];
  if (first) {
    checks.push({
      name: "node",
      path: `/nodes?node=${encodeURIComponent(first.name)}`,
      check: async (page) => {
        await visible(page, "[role=dialog] >> text=Why it is there");
        await visible(page, "[role=dialog] >> text=Why it stays");
      },
    });
  }
  if (stock.metrics.includes("node_cpu_seconds_total")) {
    checks.push({
      name: "metrics-counter",
      path: "/explore/metrics?metric=node_cpu_seconds_total",
      check: async (page) => {
        await visible(page, "[aria-label='Legend'] tbody tr");
        await visible(page, "[role=img] canvas");
        const query = await page.locator(".cm-content").innerText();
        if (!query.startsWith("rate(node_cpu_seconds_total["))
          throw new Error(`a counter must be shown as a rate, but the query is ${query}`);
        await page.getByRole("tab", { name: "Latest values" }).click();
        await visible(page, "section[aria-label='Latest values'] tbody tr");
      },
    });
  }
  checks.push({
    name: "metrics-error",
    path: `/explore/metrics?expr=${encodeURIComponent("sum(rate(up[1m]")}`,
    // The refusal is the point, and Chromium reports every 400 on the console.
    tolerate: /status of 400/,
    check: (page) => text(page, "The query was refused"),
  });
  if (stock.trace) {
    checks.push({
      name: "trace",
      path: `/traces/${stock.trace.id}`,
      check: async (page) => {
        await atLeast(page, "[role=treeitem]", Math.min(5, stock.trace.spans), "spans");
        await page.locator("[role=tree]").focus();
        await page.keyboard.press("ArrowDown");
        await visible(page, "section[aria-label='Details of the span']");
      },
    });
  }
  if (stock.autoscalers[0]) {
    const { namespace, name } = stock.autoscalers[0];
    checks.push({
      name: "autoscaler",
      path: `/autoscaling/${namespace}/${name}`,
      check: async (page) => {
        await atLeast(page, "section[aria-label=Timeline] canvas", 2, "lanes");
        await visible(page, "section[aria-label=Decisions] tbody tr");
        await page.locator("section[aria-label=Decisions] tbody button[aria-expanded]").first().click();
        await visible(page, ":text('What the rules made of it'), :text('What the rules said about the target')");
        await page.locator("h1").scrollIntoViewIfNeeded();
      },
    });
  }
  if (stock.sized[0]) {
    const { namespace, name } = stock.sized[0];
    checks.push({
      name: "autoscaler-sizes",
      path: `/autoscaling/${namespace}/${name}?direction=vertical`,
      check: async (page) => {
        await visible(page, "section[aria-label=Sizes] tbody tr");
        await visible(page, "section[aria-label='Sizes over time'] canvas");
        await page.locator("section[aria-label=Decisions] tbody button[aria-expanded]").first().click();
        await text(page, "What the rules said about the target as a whole");
        await text(page, "What was done to pods");
        await page.locator("h1").scrollIntoViewIfNeeded();
      },
    });
  }
  return checks;
}
