// Tables are sorted by their heads, and stay so: in the address, after a reload, and with new rows.
export default async function sorting({ args, open, axe, tabTo }) {
  const { url } = args;
  const found = {};
  const page = await open();
  const region = (name) => page.getByRole("region", { name, exact: true });
  const head = (table, name) => region(table).getByRole("button", { name, exact: true });
  const names = () => region("Channels").locator("tbody th").allTextContents();
  const direction = (table, name) => region(table).locator("thead th", { hasText: name }).getAttribute("aria-sort");
  const state = async () => [await names(), await direction("Channels", "Events kept")];
  const hash = () => page.evaluate(() => location.hash);
  const listed = (count) => region("Channels").locator("tbody tr").nth(count - 1).waitFor();

  await page.goto(`${url}/console#/channels`);
  await listed(4);
  found.natural = await state();
  await head("Channels", "Events kept").click();
  found.down = await state();
  await page.getByLabel("Names that begin with").focus();
  await tabTo(page, "Events kept");
  await page.keyboard.press("Enter");
  found.up = await state();
  found.one = await region("Channels").locator("[aria-sort]").count();
  found.address = await hash();
  found.axe = await axe(page);
  if (args.folder) await page.screenshot({ path: `${args.folder}/sorting.png`, fullPage: true });
  await page.reload();
  await listed(4);
  found.reloaded = await state();

  // The list is read again every five seconds: rows move, and the focus stays.
  await head("Channels", "Events kept").focus();
  const publish = (name, count) => fetch(`${url}/v1/publish`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(Array.from({ length: count }, () => ({ channel: name, data: 1 }))) });
  await publish("d", 20);
  await page.waitForFunction(() => document.querySelector("tbody tr:last-child th")?.textContent === "d");
  found.updated = await state();
  found.focused = await page.evaluate(() => document.activeElement.textContent);

  await page.getByLabel("Names that begin with").fill("b");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  found.filtered = await hash();
  await region("Channels").getByRole("link", { name: "b" }).click();
  await page.getByRole("heading", { level: 1, name: "b" }).waitFor();
  await page.locator(".crumb a").click();
  await page.getByLabel("Names that begin with").waitFor();
  found.back = await hash();
  await page.getByLabel("Names that begin with").fill("");
  await listed(4);
  await head("Channels", "Events kept").click();
  await publish("d", 0);
  found.none = await state();

  await page.getByRole("link", { name: "Limits" }).click();
  await head("By address", "Limit").click();
  await head("Of each process", "Value").click();
  await region("Of each process").locator("tbody tr").first().waitFor();
  found.two = [await direction("By address", "Limit"), await direction("Of each process", "Value")];
  const values = () => region("Of each process").locator("tbody tr").evaluateAll((rows) => rows.map((row) => Number(row.cells[1].dataset.value)));
  found.limits = await values();
  // The rows are others after three seconds.
  await page.evaluate(() => { document.querySelector("[aria-label='Of each process'] tbody tr").dataset.old = "yes"; });
  await page.waitForFunction(() => !document.querySelector("[data-old]"));
  const later = await values();
  found.settled = JSON.stringify(later) === JSON.stringify(found.limits);

  found.unsorted = [];
  for (const name of ["Overview", "Nodes", "Channels", "Trace", "Limits"]) {
    await page.getByRole("link", { name, exact: true }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor();
    const bare = await page.locator("thead th").evaluateAll((heads) => heads.filter((one) => !one.querySelector("button")).map((one) => one.textContent));
    found.unsorted.push(...bare);
  }
  return found;
}
