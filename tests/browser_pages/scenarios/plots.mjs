// The figures and the plots of the overview move with what happens.
const publish = (url, key) => fetch(`${url}/v1/channels/plotted/events`, { method: "POST", body: "1", headers: { Authorization: `Bearer ${key}` } });

export default async function plots({ args, open, enter }) {
  const page = await open();
  await page.goto(`${args.url}/console`);
  await enter(page, args.key);
  await page.locator(".plot canvas").first().waitFor();
  const pixels = () => page.evaluate(() => [...document.querySelectorAll(".plot canvas")].map((canvas) => canvas.toDataURL()));
  const before = await pixels();
  const publishing = setInterval(() => publish(args.url, args.key), 50);
  const rate = page.locator("#tile-published");
  await page.waitForFunction(() => parseFloat(document.getElementById("tile-published").textContent) >= 5);
  const busy = await rate.textContent();
  await page.waitForFunction(() => document.getElementById("tile-wake99").textContent !== "–");
  const [holds, wake, memory, health] = await Promise.all(["#tile-holds", "#tile-wake99", "#tile-memory", ".health"].map((id) => page.locator(id).textContent()));
  const after = await pixels();
  clearInterval(publishing);
  const named = await page.getByRole("img", { name: /^Events a second, now: published/ }).getAttribute("aria-label");
  await page.getByRole("button", { name: "Pause" }).click();
  const paused = await pixels();
  await page.waitForTimeout(1500);
  const still = await pixels();
  const rows = await page.getByRole("region", { name: "Processes" }).locator("tbody tr").count();
  return {
    plots: before.length, moved: before.filter((one, i) => one !== after[i]).length, busy, holds, wake, memory, health, named, rows,
    held: JSON.stringify(paused) === JSON.stringify(still),
  };
}
