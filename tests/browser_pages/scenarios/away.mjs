// The store goes away: the page says so, and still has the figures of the process it reaches.
export default async function away({ args, open, enter }) {
  const page = await open();
  await page.goto(`${args.url}/console`);
  await enter(page, args.key);
  await page.locator("#state", { hasText: "live" }).waitFor();
  process.kill(args.store, "SIGSTOP");
  try {
    await page.locator("#state", { hasText: "only one process responds" }).waitFor();
    await page.locator(".health[data-how=bad]").waitFor();
    const health = await page.locator(".health").textContent();
    process.kill(args.store, "SIGCONT");
    await page.locator("#state", { hasText: "live" }).waitFor();
    await page.locator(".health[data-how=good], .health[data-how=fair]").waitFor();
    return { health };
  } finally {
    process.kill(args.store, "SIGCONT");
  }
}
