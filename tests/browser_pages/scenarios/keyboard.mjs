// Sign in, find a channel, publish, trace and sign out without a mouse.
export default async function keyboard({ args, open, tabTo }) {
  const page = await open();
  await page.goto(`${args.url}/console`);
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await page.keyboard.type(args.key); // the field has the focus
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  const heading = await focused();
  await page.evaluate(() => document.querySelector("#inside nav a").focus());
  await page.keyboard.press("Shift+Tab"); // before the first link is the one that skips them
  const visible = await page.evaluate(() => document.activeElement.getBoundingClientRect().top >= 0);
  await page.keyboard.press("Enter");
  const skipped = await page.evaluate(() => document.activeElement.id);
  await page.evaluate(() => document.querySelector("#inside nav a").focus());
  await tabTo(page, "Channels");
  const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Channels" }).waitFor();
  await tabTo(page, "Open by its name");
  await page.keyboard.type("by-keyboard");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "by-keyboard" }).waitFor();
  await tabTo(page, "Data");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("42");
  await tabTo(page, "Publish");
  await page.keyboard.press("Enter");
  await page.getByText("Event 1 is in the log.").waitFor();
  // It comes by the page's own long-poll, after the answer of the publish or before it.
  await page.locator(".events summary", { hasText: "#1" }).waitFor();
  await tabTo(page, "#1");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Data of event 1" }).waitFor();
  await tabTo(page, "Delete this channel");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  const careful = await focused();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Channels" }).waitFor();
  await page.evaluate(() => document.querySelector("#inside nav a").focus());
  await tabTo(page, "Sign out");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  return { heading, visible, skipped, ring, careful, back: await page.evaluate(() => document.activeElement.id) };
}
