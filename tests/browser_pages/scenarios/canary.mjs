// A check of the canary that fails, on the overview and in the view of the nodes.
export default async function canary({ args, open }) {
  const page = await open();
  await page.goto(`${args.url}/console`);
  const health = page.locator(".health", { hasText: "canary’s check" });
  await health.waitFor();
  const found = { overview: await health.textContent(), how: [await health.getAttribute("data-how")] };
  await page.getByRole("link", { name: "Nodes" }).click();
  await page.getByRole("heading", { level: 1, name: "Nodes" }).waitFor();
  await health.waitFor();
  found.nodes = await health.textContent();
  found.how.push(await health.getAttribute("data-how"));
  const first = page.getByRole("region", { name: "Checks" }).locator("tbody tr").first();
  found.state = await first.locator("td").nth(2).textContent();
  found.reason = await first.locator("td").last().textContent();
  if (args.folder) await page.screenshot({ path: `${args.folder}/canary.png`, fullPage: true });
  return found;
}
