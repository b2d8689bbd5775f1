// The page of `pushhub try --html`, which is a file without scripts.
export default async function trial({ args, open, axe, overflow }) {
  const found = { axe: {}, wider: {}, marks: 0 };
  for (const [scheme, width] of [["light", 1280], ["dark", 360]]) {
    const page = await open({ width, scheme });
    await page.goto(`file://${args.file}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    found.marks = await page.locator("circle").count();
    found.tables = await page.getByRole("table").count();
    const wrong = await axe(page);
    if (wrong.length) found.axe[`${scheme} ${width}`] = wrong;
    found.wider[width] = await overflow(page);
    if (args.folder) await page.screenshot({ path: `${args.folder}/trial-${scheme}-${width}.png`, fullPage: true });
  }
  return found;
}
