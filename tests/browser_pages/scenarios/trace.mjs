// A poll's life, line by line: it asks, waits, is woken and answered.
export default async function trace({ args, open, enter }) {
  const { url, key } = args;
  const headers = { Authorization: `Bearer ${key}` };
  const events = `${url}/v1/channels/traced/events`;
  const page = await open();
  await page.goto(`${url}/console#/trace`);
  await page.getByLabel("Admin key or token").fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByLabel("Name, address or subject").fill("traced");
  // It says that it traces once the hub has taken the wish; who ends it before does not trace.
  const note = page.locator("#view [role=status]");
  let pass;
  const passing = new Promise((resolve) => { pass = resolve; });
  await page.route("**/console/wish", async (route) => {
    if (route.request().postDataJSON().trace) await passing;
    await route.continue();
  });
  const start = page.getByRole("button", { name: "Start" });
  const taken = page.waitForResponse((response) => response.request().postData()?.includes('"trace"') ?? false);
  await start.click();
  const early = await note.textContent();
  await start.click();
  pass();
  await (await taken).finished();
  await page.evaluate(() => new Promise((resolve) => { setTimeout(resolve); }));
  const ended = [await note.textContent(), await page.getByLabel("Name, address or subject").isEnabled()];
  await page.unroute("**/console/wish");
  await start.click();
  await page.getByText("No line yet.").waitFor();
  const polled = fetch(`${events}?since=now&wait=20`, { headers });
  await page.locator(".trace-park").waitFor();
  await fetch(events, { method: "POST", body: '{"not": "in the trace"}', headers });
  await polled;
  await page.locator(".trace-logged").waitFor();
  await page.locator(".trace-answer").waitFor();
  const rows = await page.locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText(/^Ended after/).waitFor();
  await fetch(events, { method: "POST", body: "2", headers });
  await page.waitForTimeout(1000);
  return { early, ended, rows: rows.reverse(), after: await page.locator("tbody tr").count() };
}
