// A dialog that asks about one channel, and Back before it is answered.
const path = (name) => `v1/channels/${encodeURIComponent(name)}`;

export default async function dialog({ args, open, enter }) {
  const { url, key } = args;
  const headers = { Authorization: `Bearer ${key}` };
  const kept = async (name) => (await (await fetch(`${url}/${path(name)}/events?since=earliest`, { headers })).json()).events.length;
  for (const name of ["one", "two"]) await fetch(`${url}/${path(name)}/events`, { method: "POST", body: "1", headers });
  const page = await open();
  await page.goto(`${url}/console`);
  await enter(page, key);
  const at = (name) => page.getByRole("heading", { level: 1, name }).waitFor();
  for (const name of ["one", "two"]) {
    await page.evaluate((to) => { location.hash = to; }, `#/channels/${name}`);
    await at(name);
  }
  await page.getByRole("button", { name: "Delete this channel" }).click();
  await page.getByRole("dialog").waitFor();
  await page.goBack();
  await at("one");
  const shown = await page.locator("dialog[open]").count();
  // What the button would have been pressed for, if it was still there.
  if (shown) await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  // The dialog still works, and asks about the channel that is looked at.
  await page.getByRole("button", { name: "Delete this channel" }).click();
  const asks = await page.getByRole("dialog").textContent();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await at("Channels");
  return { shown, asks, kept: [await kept("one"), await kept("two")] };
}
