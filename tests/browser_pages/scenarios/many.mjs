// Ten thousand channels, a page at a time.
export default async function many({ args, open, enter }) {
  const page = await open();
  await page.goto(`${args.url}/console`);
  await enter(page, args.key);
  const before = Date.now();
  await page.getByRole("link", { name: "Channels" }).click();
  await page.getByRole("heading", { level: 1, name: "Channels" }).waitFor();
  const rows = page.locator("tbody tr");
  await rows.first().waitFor();
  const ms = Date.now() - before;
  const names = async () => rows.locator("th").allTextContents();
  const first = await names();
  const next = page.getByRole("button", { name: "Next page" });
  await next.click();
  await page.getByText("101 to 200, and there are more").waitFor();
  const second = await names();
  await page.getByRole("button", { name: "Previous page" }).click();
  await page.getByText("1 to 100, and there are more").waitFor();
  const again = await names();
  await page.getByLabel("Names that begin with").fill("many:0999");
  await page.getByText("1 to 10, in the order").waitFor();
  return { ms, first: first.length, second: second[0], again: JSON.stringify(again) === JSON.stringify(first), last: (await names()).at(-1) };
}
