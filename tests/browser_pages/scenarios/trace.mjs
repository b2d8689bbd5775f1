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
  await page.getByRole("button", { name: "Start" }).click();
  await page.getByText("Nothing has happened yet.").waitFor();
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
  return { rows: rows.reverse(), after: await page.locator("tbody tr").count() };
}
