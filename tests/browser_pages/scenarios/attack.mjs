// Names and payloads that would like to be markup are text, wherever they are shown.
export default async function attack({ args, open, enter }) {
  const { url, key, names } = args;
  const page = await open();
  page.on("dialog", (dialog) => { throw new Error(`a dialog: ${dialog.message()}`); });
  await page.goto(`${url}/console`);
  await enter(page, key);
  await page.getByRole("link", { name: "Channels" }).click();
  await page.getByRole("heading", { level: 1, name: "Channels" }).waitFor();
  await page.locator("tbody tr").first().waitFor();
  const listed = await page.locator("tbody th").allTextContents();
  const shown = [];
  for (const name of names) {
    await page.evaluate((hash) => { location.hash = hash; }, `#/channels/${encodeURIComponent(name)}`);
    await page.locator("h1", { hasText: name.trim().slice(0, 20) }).waitFor();
    await page.locator(".events summary").first().click();
    await page.locator(".payload pre").first().waitFor();
    shown.push(await page.locator(".payload pre").first().textContent());
    await page.getByRole("link", { name: "Trace", exact: true }).last().click();
    await page.getByRole("heading", { level: 1, name: "Trace" }).waitFor();
    // What is published before the hub has heard of the trace is not in it.
    await page.getByText(/^Tracing/).waitFor();
    await fetch(`${url}/v1/channels/${encodeURIComponent(name)}/events`, { method: "POST", body: '"<b>x</b>"', headers: { Authorization: `Bearer ${key}` } });
    await page.locator(".trace-logged").first().waitFor();
  }
  // A link that somebody sends to an operator.
  for (const hash of ["#/channels/%", "#/channels/%3Cimg%20src%3Dx%20onerror%3Dpwned()%3E", "#/nothing", "#javascript:pwned()", "#/trace?client=%3Cscript%3E", "#//evil.example/"]) {
    await page.evaluate((to) => { location.hash = to; }, hash);
    await page.waitForTimeout(100);
  }
  const alien = await page.evaluate(() => document.querySelectorAll("#inside img, #inside script, #inside iframe, #inside svg").length);
  return { listed, shown, alien, pwned: await page.evaluate(() => "pwned" in window) };
}
