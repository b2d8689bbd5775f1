// The list of channels: it is read again by itself; filter and page are in its address.
const publish = (url, headers, name) => fetch(`${url}/v1/channels/${encodeURIComponent(name)}/events`, { method: "POST", body: "1", headers });

export default async function list({ args, open, enter }) {
  const { url, key } = args;
  const headers = { Authorization: `Bearer ${key}` };
  await fetch(`${url}/v1/publish`, {
    method: "POST", headers: { ...headers, "Content-Type": "application/json" },
    body: JSON.stringify(Array.from({ length: 250 }, (_, n) => ({ channel: `list:${String(n).padStart(3, "0")}`, data: 1 }))),
  });
  const page = await open({ width: 1440 });
  await page.goto(`${url}/console#/channels?prefix=list%3A`);
  await page.getByLabel("Admin key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  const note = (text) => page.getByText(text).waitFor();
  await note("1 to 100, and there are more");
  const filter = await page.getByLabel("Names that begin with").inputValue();

  // One row, in one line: labels above, fields and button beside each other.
  const boxes = await page.locator(".filters input, .filters button").evaluateAll((all) => all.map((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return [Math.round(top), Math.round(bottom)];
  }));

  // What happens shows by itself, and the focus stays where it is.
  const first = page.getByRole("link", { name: "list:000" });
  await first.focus();
  await publish(url, headers, "list:000");
  await publish(url, headers, "list:0000");
  await page.locator("tbody tr", { hasText: "list:000" }).first().locator("td").first().filter({ hasText: "2" }).waitFor();
  const second = await page.locator("tbody tr th").nth(1).textContent();
  const focused = await page.evaluate(() => document.activeElement.textContent);

  await page.getByRole("button", { name: "Next page" }).click();
  await note("101 to 200, and there are more");
  const address = await page.evaluate(() => location.hash);
  await page.getByRole("button", { name: "Next page" }).click();
  await note("201 to 251, in the order");
  await page.goBack();
  await note("101 to 200, and there are more");
  await page.locator("tbody tr a").first().click();
  await page.getByText("Newest first.").waitFor();
  await page.getByRole("main").getByRole("link", { name: "Channels" }).click();
  await note("100 after “list:098”, and there are more");
  const returned = await page.evaluate(() => location.hash);

  // A colleague who is sent the address sees the same page, and can go to the first.
  const other = await open();
  await other.goto(`${url}/console${address}`);
  await enter2(other, key);
  await other.getByText("100 after “list:098”, and there are more").waitFor();
  const sent = await other.locator("tbody tr th").first().textContent();
  await other.getByRole("button", { name: "First page" }).click();
  await other.getByText("1 to 100, and there are more").waitFor();
  await other.getByLabel("Names that begin with").fill("list:24");
  await other.getByText("1 to 10, in the order").waitFor();
  const typed = await other.evaluate(() => location.hash);

  const settings = await open();
  await settings.goto(`${url}/console#/settings?text=max_wait`);
  await enter2(settings, key);
  await settings.getByText(/^1 of \d+ settings/).waitFor();
  await settings.getByLabel("Containing").fill("max_");
  await settings.waitForFunction(() => location.hash === "#/settings?text=max_");

  const trace = await open();
  await trace.goto(`${url}/console#/trace`);
  await enter2(trace, key);
  await trace.getByLabel("Name, address or subject").fill("list:007");
  await trace.getByRole("button", { name: "Start" }).click();
  await trace.waitForFunction(() => location.hash === "#/trace?channel=list%3A007");
  return { filter, boxes, second, focused, address, returned, sent, typed };
}

async function enter2(page, key) {
  await page.getByLabel("Admin key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
}
