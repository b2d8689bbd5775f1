// Runs one scenario in a fresh Chromium, and prints what it found as JSON.
//
// node drive.mjs <scenario> '<arguments as JSON>'; the scenario is a module of ./scenarios.

import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [name, given] = process.argv.slice(2);
const args = JSON.parse(given);
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// A container has no user namespaces for the sandbox; the pages are ours.
const browser = await chromium.launch({ executablePath: args.chromium, args: ["--no-sandbox"] });
const found = { violations: [], errors: [], requests: [] };

async function open({ width = 1280, height = 900, scheme = "light", ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, ...options });
  const page = await context.newPage();
  // What takes longest of itself is a page that comes back to a hub: 12 s. A machine may be busy, too.
  page.setDefaultTimeout(40_000);
  await page.exposeFunction("violated", (what) => found.violations.push(what));
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => window.violated(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
  });
  page.on("pageerror", (error) => found.errors.push(error.message));
  page.on("console", (message) => {
    // A refused request is logged by the browser itself; what the page does about it is tested.
    if (message.type() === "error" && !/the server responded with a status of/.test(message.text())) found.errors.push(message.text());
  });
  page.on("request", (request) => found.requests.push(request.url()));
  return page;
}

/** What axe-core has against the page as it is. */
async function axe(page) {
  // By the debugger's channel: the page's own policy lets no script of others in.
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  return violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(({ target, failureSummary }) => `${target}: ${failureSummary}`) }));
}

/** How far the page is wider than its window. */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);

/** Sign in, and wait for the first figures. */
async function enter(page, key) {
  await page.getByLabel("Admin key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

/** Press Tab until `name` has the focus; the number of presses. */
async function tabTo(page, name, most = 60) {
  for (let presses = 1; presses <= most; presses += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const it = document.activeElement;
      return it.getAttribute("aria-label") || it.labels?.[0]?.textContent || it.textContent || "";
    });
    if (focused.trim().startsWith(name)) return presses;
  }
  throw new Error(`Tab does not reach ${name}`);
}

try {
  const { default: scenario } = await import(`./scenarios/${name}.mjs`);
  const result = await scenario({ args, open, axe, overflow, enter, tabTo });
  process.stdout.write(JSON.stringify({ ...found, result }));
} finally {
  await browser.close();
}
