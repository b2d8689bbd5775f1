// One event reaches every reader, is timed and counted, and is drawn.
const PAUSE_MS = 50;
const MOST_MS = 40_000;

export default async function demo({ args, open }) {
  const page = await open();
  await page.goto(`${args.url}/demo?channel=shown`);
  if (args.key) {
    await page.locator("#access").waitFor();
    await page.getByLabel("API key or token").fill(args.key);
    await page.getByRole("button", { name: "Use it" }).click();
  }
  await page.locator("#stream [data-is=state]", { hasText: "live" }).waitFor();
  // Each reads what is published after its first request. The long-poll says "waiting" as soon as it
  // asks; that it is held, as the stream is, the hub knows.
  await page.locator("#polling [data-is=state]", { hasText: "idle" }).waitFor();
  await page.locator("#waiting [data-is=state]", { hasText: "waiting" }).waitFor();
  if (args.bosh) await page.locator("#bosh [data-is=state]", { hasText: "waiting" }).waitFor();
  const headers = args.key ? { Authorization: `Bearer ${args.key}` } : {};
  const held = async () => Number(/^pushhub_holds (\d+)/m.exec(await (await fetch(`${args.url}/metrics`, { headers })).text())[1]);
  for (const begun = Date.now(); await held() < 2;) {
    if (Date.now() - begun > MOST_MS) throw new Error("the long-poll and the stream are not held");
    await new Promise((again) => { setTimeout(again, PAUSE_MS); });
  }
  const drawn = () => page.evaluate(() => document.getElementById("plot").toDataURL());
  const before = await drawn();
  await page.getByLabel("Text").fill('<img src=x onerror="window.pwned=1">');
  await page.getByRole("button", { name: "Publish" }).click();
  const readers = args.bosh ? ["polling", "waiting", "stream", "bosh"] : ["polling", "waiting", "stream"];
  const of = {};
  for (const id of readers) {
    const panel = page.locator(`#${id}`);
    await panel.locator("li b", { hasText: /s$/ }).waitFor();
    const is = async (what) => panel.locator(`[data-is=${what}]`).textContent();
    of[id] = { events: await is("events"), requests: Number(await is("requests")), mean: await is("mean"), code: (await is("code")).length, text: await panel.locator("li span").first().textContent() };
  }
  return {
    of, drawn: before !== await drawn(), label: await page.locator("#plot").getAttribute("aria-label"), bosh: await page.locator("#bosh").isVisible(),
    curl: await page.locator("#curl").textContent(), pwned: await page.evaluate(() => "pwned" in window),
  };
}
