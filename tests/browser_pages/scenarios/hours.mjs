// The view of the nodes: charts of the last hour, the moment of their values, and the canary.
const NAMES = ["Holds", "Delivered/s", "Published/s", "Delivery, p99", "Memory", "Loop lag, p99"];
const WAYS = [["light", 1440], ["dark", 1440], ["light", 360], ["dark", 360]];

export default async function hours({ args, open, axe, overflow }) {
  const found = { axe: {}, wider: {}, labels: {} };
  const page = await open();
  await page.goto(`${args.url}/console#/nodes`);
  const look = async (name) => {
    await page.locator(".health", { hasText: args.says }).waitFor();
    const wrong = args.folder || ["light 1440", "dark 360"].includes(name) ? await axe(page) : [];
    if (wrong.length) found.axe[name] = wrong;
    found.wider[name] = await overflow(page);
    if (args.folder) await page.screenshot({ path: `${args.folder}/nodes-${name.replace(" ", "-")}.png`, fullPage: true });
  };
  const chart = (name) => page.getByRole("img", { name: new RegExp(`^${name} of .* in the last hour: last`) });
  await chart("Holds").waitFor({ state: "attached" });
  for (const [scheme, width] of WAYS) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 900 });
    await look(`${scheme} ${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  for (const name of NAMES) found.labels[name] = await chart(name).getAttribute("aria-label");
  found.widest = await page.locator(".spark path").first().evaluate((line) => line.getBBox().width);

  const output = page.locator("output");
  const value = () => page.locator(".spark", { hasText: "Delivery" }).locator("b").textContent();
  const slider = page.getByRole("slider", { name: "Moment" });
  await slider.focus();
  for (let presses = 0; presses < 60; presses += 1) await page.keyboard.press("ArrowLeft");
  found.moment = { text: await output.textContent(), spoken: await slider.getAttribute("aria-valuetext"), early: await value() };
  await chart("Holds").hover({ position: { x: 100, y: 20 } });
  found.moment.pointed = await output.textContent();
  await page.getByRole("heading", { level: 1 }).hover();
  found.moment.left = await output.textContent();
  await slider.focus();
  await page.keyboard.press("End");
  found.moment.now = [await output.textContent(), await value()];

  const rows = (name) => page.getByRole("region", { name, exact: true }).locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.cells].map((one) => one.innerText)));
  await page.getByText("The figures as a table").click();
  await page.getByRole("region", { name: "The figures", exact: true }).locator("tbody tr").nth(5).waitFor();
  found.table = await rows("The figures");
  found.processes = await rows("Processes");
  found.python = found.processes[0][3];
  found.checks = await rows("Checks");
  return found;
}
