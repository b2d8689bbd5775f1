// Publish, look at the payload, see who waits, delete: all from the console.
const path = (name) => `v1/channels/${encodeURIComponent(name)}`;

export default async function channel({ args, open, enter }) {
  const { url, key, name } = args;
  const headers = { Authorization: `Bearer ${key}` };
  const read = async () => (await (await fetch(`${url}/${path(name)}/events?since=earliest`, { headers })).json()).events;
  const page = await open();
  await page.goto(`${url}/console`);
  await enter(page, key);
  await page.getByRole("link", { name: "Channels" }).click();
  await page.getByLabel("Open by its name").fill(name);
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("heading", { level: 1 }).filter({ hasText: name }).waitFor();
  await page.getByText("This channel has no events.").waitFor();
  await page.getByLabel("Data").fill('{"deep": {"er": [1, 2]}}');
  const curl = await page.getByRole("region", { name: "Publish, as a command" }).textContent();
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText("Event 1 is in the log.").waitFor();
  await page.locator(".events summary", { hasText: "#1" }).click();
  const payload = await page.getByRole("region", { name: "Data of event 1" }).textContent();
  const published = await read();
  const holding = new AbortController();
  fetch(`${url}/${path(name)}/events?since=now&wait=50`, { headers, signal: holding.signal }).catch(() => {});
  await page.locator("#presence", { hasText: /^1 request waits/ }).waitFor();
  const holder = await page.getByRole("region", { name: "Waiting requests" }).locator("tbody tr").first().textContent();
  holding.abort();
  await page.locator("#presence", { hasText: /^0 requests wait/ }).waitFor();
  await page.getByRole("button", { name: "Delete this channel" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  const spared = (await read()).length;
  await page.getByRole("button", { name: "Delete this channel" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("heading", { level: 1, name: "Channels" }).waitFor();
  const left = (await read()).length;
  return { curl, payload, published, holder, spared, left };
}
