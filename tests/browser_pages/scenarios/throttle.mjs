// One wrong key after the other, until the page says to wait.
export default async function throttle({ args, open }) {
  const page = await open();
  // Loopback is no client's own address, but a proxy's.
  await page.setExtraHTTPHeaders({ "X-Forwarded-For": "203.0.113.7" });
  await page.goto(`${args.url}/console`);
  const said = [];
  // A slow machine gets a try back in between.
  for (let n = 0; n < 20 && !said.at(-1)?.includes("Too many"); n += 1) {
    const answered = page.waitForResponse((response) => response.url().endsWith("/console/session"));
    await page.getByLabel("Admin key or token").fill(`phk_${String(n).padStart(43, "x")}`);
    await page.keyboard.press("Enter");
    await answered;
    await page.locator("#enter:enabled").waitFor();
    said.push(await page.getByRole("alert").textContent());
  }
  return said;
}
