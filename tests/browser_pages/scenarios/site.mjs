// The documentation site at three widths, light and dark: is a page wider than its window, what does
// the search find, and has each block of code a button that copies it?
import { mkdir } from "node:fs/promises";

const WIDTHS = [390, 820, 1440];

export default async function site({ args, open, overflow, axe }) {
  const { url, pages, folder } = args;
  if (folder) await mkdir(folder, { recursive: true });
  const wider = {};
  const copies = {};
  const backgrounds = {};
  const barriers = {};
  for (const scheme of ["light", "dark"]) {
    for (const width of WIDTHS) {
      const page = await open({ width, height: 900, scheme, reducedMotion: "reduce" });
      for (const name of pages) {
        await page.goto(`${url}/${name}`);
        await page.locator("h1").waitFor();
        const over = await overflow(page);
        if (over > 0) wider[`${name} ${width}`] = over;
        const blocks = await page.locator("pre > code").count();
        if (blocks) await page.locator(".md-clipboard, .md-code__button").first().waitFor({ state: "attached" });
        copies[name] = blocks - (await page.locator("[data-md-type=copy], .md-clipboard").count());
        backgrounds[scheme] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        if (width === 1440 && name === pages[1]) for (const { id, nodes } of await axe(page)) barriers[id] = nodes[0];
        if (folder) await page.screenshot({ path: `${folder}/${name.replaceAll("/", "-") || "home"}-${width}-${scheme}.png` });
      }
      await page.context().close();
    }
  }
  const page = await open({ width: 1440, permissions: ["clipboard-read", "clipboard-write"] });
  await page.goto(`${url}/tutorial/`);
  await page.locator("pre").first().hover();
  await page.locator("[data-md-type=copy], .md-clipboard").first().click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  // Three states: as the system, light, dark.
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  for (let clicks = 0; clicks < 2; clicks += 1) await page.locator(".md-header__button[for^=__palette]:visible").click();
  const toggled = await background();
  await page.getByRole("button", { name: "Search" }).first().click();
  const input = page.getByRole("combobox", { name: "Search" });
  await input.fill("honest answer");
  const hits = page.getByRole("option");
  await hits.first().waitFor();
  const results = await hits.count();
  await hits.filter({ hasText: "honest answer" }).first().click();
  await page.waitForURL("**/log/**");
  return { wider, barriers, copies, backgrounds, copied, toggled, results, reached: page.url() };
}
