// A wrong key, the right one, what is left of it, and the way out.
export default async function login({ args, open, enter }) {
  const page = await open();
  await page.goto(`${args.url}/console?key=${args.key}#key=${args.key}`);
  const alert = page.getByRole("alert");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  const ignored = !(await page.getByRole("heading", { name: "Overview" }).isVisible());
  await page.getByLabel("Admin key or token").fill(args.wrong);
  await page.getByRole("button", { name: "Sign in" }).click();
  await alert.filter({ hasText: /./ }).waitFor();
  const refused = await alert.textContent();
  await page.goto(`${args.url}/console`);
  await enter(page, args.key);
  await page.locator("#state", { hasText: "live" }).waitFor();
  const who = await page.locator("#who").textContent();
  const kept = await page.evaluate(() => JSON.stringify([
    { ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state, document.documentElement.outerHTML,
    [...document.querySelectorAll("input")].map((one) => one.value),
  ]));
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await enter(page, args.key);
  await page.reload();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  return { ignored, refused, who, leaked: kept.includes(args.key) };
}
