// The picture of the view of the nodes, with a full hour and a moment of it.
export default async function shotNodes({ args, open, overflow }) {
  const page = await open({ width: 1440, height: 900, reducedMotion: "reduce" });
  await page.goto(`${args.url}/console#/nodes`);
  await page.locator(".health", { hasText: "All checks" }).waitFor();
  await page.getByRole("img", { name: /^Holds of .* in the last hour/ }).waitFor({ state: "attached" });
  await page.getByRole("slider", { name: "Moment" }).fill("-900");
  const wider = await overflow(page);
  await page.screenshot({ path: `${args.folder}/console-nodes.png`, fullPage: true });
  return wider;
}
