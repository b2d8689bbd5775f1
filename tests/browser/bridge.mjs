// Chromium for tests that are written in Python: runs the Playwright code that comes as lines of JSON on
// standard input, and writes its results. Ends with its input.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../clients/js/", import.meta.url));
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath: process.argv[2],
  args: [
    // As root, which containers of CI are, Chromium has no sandbox.
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    // Each tab is a process of its own, as tabs of people are, so that one can be killed.
    "--process-per-tab",
  ],
});
/** What one test keeps: its context, its pages by their names. */
const tests = new Map();
const Code = Object.getPrototypeOf(async () => {}).constructor;

const run = async ({ id, test, code, args }) => {
  let result;
  try {
    if (!tests.has(test)) tests.set(test, { context: await browser.newContext(), pages: {}, errors: [] });
    const kept = tests.get(test);
    const value = await new Code("kept", "args", code)(kept, args);
    if (code === "return kept.context.close()") tests.delete(test);
    result = { id, value: value ?? null };
  } catch (error) {
    result = { id, error: String(error.stack ?? error) };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
};

for await (const line of createInterface({ input: process.stdin })) void run(JSON.parse(line));
await browser.close();
