// The figures and the plots of the overview move with what happens.
const publish = (url, key) => fetch(`${url}/v1/channels/plotted/events`, { method: "POST", body: "1", headers: { Authorization: `Bearer ${key}` } });

// A client that waits for each event: the console's own requests are not in the figures.
async function follow(url, key, signal) {
  const headers = { Authorization: `Bearer ${key}` };
  let since = "now";
  while (!signal.aborted) {
    const answer = await fetch(`${url}/v1/channels/plotted/events?since=${since}&wait=25`, { headers, signal });
    since = (await answer.json()).cursor;
  }
}

export default async function plots({ args, open, enter }) {
  const page = await open();
  await page.goto(`${args.url}/console`);
  await enter(page, args.key);
  await page.locator(".plot canvas").first().waitFor();
  const pixels = () => page.evaluate(() => [...document.querySelectorAll(".plot canvas")].map((canvas) => canvas.toDataURL()));
  const before = await pixels();
  const leaving = new AbortController();
  follow(args.url, args.key, leaving.signal).catch(() => {});
  const publishing = setInterval(() => publish(args.url, args.key), 50);
  // A tile's text of the moment at which it is so: it is another one a second later.
  const tile = async (name, least) => (await page.waitForFunction(([id, least]) => {
    const text = document.getElementById(id).textContent;
    return parseFloat(text) >= least && text;
  }, [`tile-${name}`, least])).jsonValue();
  const [busy, wake, holds] = [await tile("published", 5), await tile("wake99", 0), await tile("holds", 1)];
  const [memory, health] = await Promise.all(["#tile-memory", ".health"].map((id) => page.locator(id).textContent()));
  // The line of what has one value yet is a point, which the next second makes a line.
  await page.waitForFunction((before) => [...document.querySelectorAll(".plot canvas")]
    .filter((canvas, i) => canvas.toDataURL() !== before[i]).length >= 3, before, { polling: 250 });
  const after = await pixels();
  clearInterval(publishing);
  leaving.abort();
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
