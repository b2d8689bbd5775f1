// Events as large as they can be, and lists of them, in bounded pieces.
export default async function large({ args, open, enter }) {
  const page = await open();
  await page.goto(`${args.url}/console#/channels/large`);
  await page.getByLabel("Admin key or token").fill(args.key);
  await page.getByRole("button", { name: "Sign in" }).click();
  const summaries = page.locator(".events summary");
  await summaries.first().waitFor();
  const preview = (await summaries.first().textContent()).length;
  await summaries.first().click();
  const code = page.locator(".payload code").first();
  await code.waitFor();
  const shown = (await code.textContent()).length;
  await page.getByRole("button", { name: /^Show all/ }).click();
  const all = (await code.textContent()).length;
  const count = await summaries.count();
  await page.getByRole("button", { name: "Older events" }).click();
  await page.waitForFunction((before) => document.querySelectorAll(".events summary").length > before, count);
  const offsets = await page.locator(".events summary b").allTextContents();
  return { preview, shown, all, offsets: offsets.map((text) => Number(text.slice(1))) };
}
