// Charts of the nodes get points while one looks.
export default async function hoursLive({ args, open }) {
  const page = await open();
  await page.goto(`${args.url}/console#/nodes`);
  const line = page.locator(".spark path").first();
  const points = () => line.evaluate((one) => one.getAttribute("d").split(/[ML]/).length - 1);
  await page.waitForFunction(() => document.querySelector(".spark path")?.getAttribute("d"));
  const fewer = await points();
  await page.waitForFunction((fewer) => document.querySelector(".spark path").getAttribute("d").split(/[ML]/).length - 1 > fewer, fewer);
  return { fewer, more: await points(), title: await page.getByRole("heading", { level: 2, name: /^The last/ }).textContent() };
}
