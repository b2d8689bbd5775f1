// Pictures of both pages: light and dark, phone and desktop, with something going on.
import { mkdir } from "node:fs/promises";

const WIDTHS = { wide: [1440, 900], narrow: [360, 740] };

export default async function shots({ args, open, overflow }) {
  const { url, folder } = args;
  await mkdir(folder, { recursive: true });
  const wider = {};
  const take = async (page, name) => {
    const over = await overflow(page);
    if (over > 0) wider[name] = over;
    await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  };
  for (const scheme of ["light", "dark"]) {
    for (const [size, [width, height]] of Object.entries(WIDTHS)) {
      const page = await open({ width, height, scheme, reducedMotion: "reduce" });
      await page.goto(`${url}/demo`);
      await page.locator("#stream [data-is=state]", { hasText: "live" }).waitFor();
      await page.getByLabel("every second").check();
      await page.locator("#polling li b", { hasText: "s" }).nth(args.events).waitFor({ timeout: 60_000 });
      await take(page, `demo-${scheme}-${size}`);
      await page.goto(`${url}/console`);
      await page.locator("#state", { hasText: "live" }).waitFor();
      await page.waitForFunction(() => document.getElementById("tile-wake99").textContent !== "–");
      await page.waitForTimeout(args.settle);
      await take(page, `console-${scheme}-${size}`);
      if (size === "wide" && scheme === "light") {
        await page.goto(`${url}/console#/trace?channel=orders:7`);
        await page.locator(".trace-answer").nth(5).waitFor();
        await take(page, "console-trace");
      }
      await page.context().close();
    }
  }
  return wider;
}
