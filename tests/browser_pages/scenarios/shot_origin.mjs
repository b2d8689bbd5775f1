// The picture of the console's view of the origin.
export default async function shotOrigin({ args, open, overflow }) {
  const page = await open({ width: 1440, height: 900, reducedMotion: "reduce" });
  await page.goto(`${args.url}/_pushhub/console#/origin`);
  await page.locator("#origin-waiting", { hasText: /[1-9]/ }).waitFor();
  await page.getByRole("region", { name: "Not shared", exact: true }).locator("tbody tr").first().waitFor();
  await page.waitForTimeout(args.settle);
  await page.waitForFunction(() => parseFloat(document.getElementById("origin-fetches").textContent) > 0);
  await page.screenshot({ path: `${args.folder}/console-origin.png`, fullPage: true });
  return await overflow(page);
}
