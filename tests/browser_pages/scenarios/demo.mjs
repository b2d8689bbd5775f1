// One event reaches every reader, is timed and counted, and is drawn.
export default async function demo({ args, open }) {
  const page = await open();
  await page.goto(`${args.url}/demo?channel=shown`);
  if (args.key) {
    await page.locator("#access").waitFor();
    await page.getByLabel("API key or token").fill(args.key);
    await page.getByRole("button", { name: "Use it" }).click();
  }
  await page.locator("#stream [data-is=state]", { hasText: "live" }).waitFor();
  await page.locator("#waiting [data-is=state]", { hasText: "waiting" }).waitFor();
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
