// The view of the limits: their values, the client that is nearest to one, and refusals.
export default async function limits({ args, open, axe, overflow, enter }) {
  const { url, key } = args;
  const found = { axe: {}, wider: {} };
  for (const [scheme, width] of [["light", 1440], ["dark", 1440], ["light", 360], ["dark", 360]]) {
    const page = await open({ width, scheme });
    await page.goto(`${url}/console`);
    if (key) await enter(page, key);
    await page.getByRole("link", { name: "Limits" }).click();
    await page.getByRole("heading", { level: 1, name: "Limits" }).waitFor();
    await page.locator(".health", { hasText: args.says }).waitFor();
    const rows = async (name) => page.getByRole("region", { name, exact: true }).locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.cells].map((one) => one.innerText)));
    found.address = await rows("By address");
    found.subject = await rows("By subject");
    found.key = await rows("By API key");
    found.process = await rows("Of each process");
    found.health = await page.locator(".health").textContent();
    const wrong = await axe(page);
    if (wrong.length) found.axe[`${scheme} ${width}`] = wrong;
    found.wider[`${scheme} ${width}`] = await overflow(page);
    if (args.folder) await page.screenshot({ path: `${args.folder}/limits-${scheme}-${width}.png`, fullPage: true });
    await page.getByRole("link", { name: "Overview" }).click();
    await page.locator("#tile-holds").waitFor();
  }
  return found;
}
