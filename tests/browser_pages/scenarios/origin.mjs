// The view of the origin: a resource that is waited for, one whose fetches fail, one that is not shared.
export default async function origin({ args, open, axe, overflow, enter }) {
  const { url, key } = args;
  const found = { axe: {}, wider: {} };
  for (const [scheme, width] of [["light", 1440], ["dark", 360]]) {
    const page = await open({ width, scheme });
    await page.goto(`${url}/_pushhub/console`);
    if (key) await enter(page, key);
    await page.getByRole("link", { name: "Origin" }).click();
    await page.getByRole("heading", { level: 1, name: "Origin" }).waitFor();
    await page.locator(".health", { hasText: "The fetches of one resource fail" }).waitFor();
    await page.locator("#origin-waiting", { hasText: /[23]/ }).waitFor();
    await page.waitForFunction(() => parseFloat(document.getElementById("origin-fetches").textContent) > 0);
    await page.locator("#origin-always-new", { hasText: "1" }).waitFor();
    await page.getByRole("region", { name: "Not shared", exact: true }).getByText("$.now").waitFor();
    const rows = async (name) => page.getByRole("region", { name, exact: true }).locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.cells].map((one) => one.textContent)));
    found.routes = await rows("Routes");
    found.resources = await rows("Resources");
    found.alone = await rows("Not shared");
    found.first = found.resources[0][0];
    await page.getByRole("region", { name: "Resources", exact: true }).getByRole("button", { name: "Bytes" }).click();
    const bytes = (text) => parseFloat(text) * (text.endsWith("KiB") ? 1024 : text.endsWith("MiB") ? 1048576 : 1);
    found.byBytes = (await rows("Resources")).map((row) => bytes(row[4]));
    found.fetches = await page.locator("#origin-fetches").textContent();
    const wrong = await axe(page);
    if (wrong.length) found.axe[`${scheme} ${width}`] = wrong;
    found.wider[width] = await overflow(page);
    if (args.folder) await page.screenshot({ path: `${args.folder}/origin-${scheme}-${width}.png`, fullPage: true });
    found.links = await page.getByRole("navigation", { name: "Pages" }).getByRole("link").evaluateAll((all) => all.map((one) => new URL(one.href).pathname));
    await page.getByRole("link", { name: "Overview" }).click();
    await page.locator("#tile-fetches").waitFor();
  }
  return found;
}
