// Opens every page of a running query service in a real Chromium, dark and light, and fails on missing content, on any
// error in the console, on any request to another origin, and on serious findings of axe. See README.md.

import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "./args.mjs";
import { takeStock } from "./backend.mjs";
import { openBrowser } from "./browser.mjs";
import { journeys } from "./journeys.mjs";
import { pageChecks } from "./pages.mjs";

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

async function findings(page) {
  // Through the debugger and not a script tag, which the page's Content-Security-Policy would refuse.
  await page.evaluate(axeSource);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return result.violations
    .filter((violation) => violation.impact === "serious" || violation.impact === "critical")
    .map(
      (violation) =>
        `axe ${violation.id} (${violation.impact}): ${violation.nodes.length} × ${violation.nodes[0].html.slice(0, 160)} ${violation.nodes[0].any[0]?.message ?? ""}`,
    );
}

async function onePage({ url, page: path, expect, timeoutMs }) {
  const browser = await openBrowser("light", url);
  try {
    const page = await browser.context.newPage();
    const deadline = Date.now() + timeoutMs;
    await page.goto(url + path);
    for (;;) {
      const shown = await page.locator("body").innerText();
      if (shown.includes(expect)) return [];
      if (Date.now() > deadline) return [`${path} does not show “${expect}”. It shows:\n${shown.slice(0, 4000)}`];
      await page.waitForTimeout(1000);
      // Asks again for ranges that stand still, too.
      await page.keyboard.press("r");
    }
  } finally {
    await browser.close();
  }
}

async function walk(browser, url, list) {
  const failures = [];
  for (const { name, run } of list) {
    const page = await browser.context.newPage();
    const failed = [];
    try {
      await run(page, url);
    } catch (error) {
      failed.push(error.message);
    }
    failed.push(...browser.takeProblems());
    await page.close();
    browser.takeProblems();
    console.log(`${failed.length === 0 ? "ok  " : "FAIL"} ${name}`);
    failures.push(...failed.map((failure) => `${name}: ${failure}`));
  }
  return failures;
}

async function allPages({ url, screenshots, schemes }) {
  if (screenshots) mkdirSync(screenshots, { recursive: true });
  const stock = await takeStock(url);
  console.log(
    `the server holds ${stock.metrics.length} metrics, logs of ${stock.logServices.length} services, traces of ${stock.services.length} services, ${stock.pods.length} pods, ${stock.autoscalers.length} autoscalers`,
  );
  const failures = [];
  for (const scheme of schemes) {
    const browser = await openBrowser(scheme, url);
    try {
      for (const { name, path, check, tolerate } of pageChecks(stock)) {
        const page = await browser.context.newPage();
        const failed = [];
        try {
          await page.goto(url + path);
          await check(page);
          // What is still loading is a placeholder, and those are not what people read.
          await page.waitForFunction(() => document.querySelector(".mantine-Skeleton-root") === null, undefined, {
            timeout: 30_000,
          });
          const headings = await page.locator("h1").count();
          if (headings !== 1) failed.push(`${headings} h1 headings`);
          const actual = await page.evaluate(() => document.documentElement.getAttribute("data-mantine-color-scheme"));
          if (actual !== scheme) failed.push(`is ${actual}, not ${scheme}`);
          failed.push(...(await findings(page)));
        } catch (error) {
          failed.push(error.message);
        }
        if (screenshots) await page.screenshot({ path: join(screenshots, `${name}-${scheme}.png`) });
        failed.push(...browser.takeProblems().filter((problem) => !tolerate?.test(problem)));
        await page.close();
        browser.takeProblems();
        console.log(`${failed.length === 0 ? "ok  " : "FAIL"} ${scheme.padEnd(5)} ${name} ${path}`);
        failures.push(...failed.map((failure) => `${scheme} ${name}: ${failure}`));
      }
      // Colours make no difference to what keys do.
      if (scheme === schemes[0]) failures.push(...(await walk(browser, url, journeys(stock))));
    } finally {
      await browser.close();
    }
  }
  return failures;
}

try {
  const args = parseArgs(process.argv.slice(2));
  const failures = args.page ? await onePage(args) : await allPages(args);
  for (const failure of failures) console.error(failure);
  process.exitCode = failures.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
