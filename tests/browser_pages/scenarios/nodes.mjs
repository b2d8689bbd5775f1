// Two nodes on one log, each with its console open: either shows both, and does what the other can.
const path = (name) => `v1/channels/${encodeURIComponent(name)}`;

export default async function nodes({ args, open, enter }) {
  const { url, far, key, name } = args;
  const headers = { Authorization: `Bearer ${key}` };
  const at = async (address) => {
    const page = await open();
    await page.goto(`${address}/console`);
    await enter(page, key);
    return page;
  };
  const both = [await at(url), await at(far)];

  const overview = [];
  for (const page of both) {
    await page.locator(".health", { hasText: "2 processes are" }).waitFor();
    const rows = page.getByRole("region", { name: "Processes" }).locator("tbody tr");
    await rows.nth(1).waitFor();
    overview.push((await rows.locator("td:nth-child(2)").allTextContents()).sort());
  }

  // Each has charts of both, and their canaries.
  const charted = [];
  for (const page of both) {
    await page.getByRole("link", { name: "Nodes" }).click();
    await page.locator(".hour").nth(1).waitFor();
    await page.getByRole("region", { name: "Processes" }).locator("tbody tr").nth(1).waitFor();
    const pids = page.getByRole("region", { name: "Checks" }).locator("tbody td:nth-child(3)");
    charted.push([(await page.locator(".hour h3").allTextContents()).map((text) => text.split(" ").at(-1)).sort(), [...new Set(await pids.allTextContents())].sort()]);
  }

  // Two wait on the one, three on the other.
  const held = [url, url, far, far, far].map((address) =>
    fetch(`${address}/${path(name)}/events?since=now&wait=50`, { headers }).then((answer) => answer.status));
  const presence = [];
  for (const page of both) {
    await page.getByRole("link", { name: "Channels" }).click();
    await page.getByLabel("Open by its name").fill(name);
    await page.getByRole("button", { name: "Open" }).click();
    // Then it waits on the channel itself no more.
    await page.getByLabel("Show new events as they come").uncheck();
  }
  for (const page of both) {
    await page.locator("#presence", { hasText: /^5 requests wait on this channel now in 2 processes/ }).waitFor();
    const told = page.getByRole("region", { name: "Waiting requests" }).locator("tbody tr td:nth-last-child(2)");
    presence.push((await told.allTextContents()).sort());
  }

  // A third page traces on the one node what is published on the other.
  const watching = await at(url);
  await watching.getByRole("link", { name: "Trace" }).click();
  await watching.getByLabel("Name, address or subject").fill(name);
  await watching.getByRole("button", { name: "Start" }).click();
  const lines = watching.locator("tbody tr");
  await watching.locator(".trace-waiting").nth(4).waitFor();

  await both[1].getByRole("button", { name: "Publish", exact: true }).click();
  await both[1].getByText("Event 1 is in the log.").waitFor();
  const answered = await Promise.all(held);
  await watching.locator(".trace-answer").nth(4).waitFor();
  await watching.locator(".trace-event").nth(1).waitFor();
  await watching.locator(".trace-logged").waitFor();
  const traced = await lines.evaluateAll((all) => all.map((row) => [row.cells[1].textContent, row.cells[6].textContent]));

  // The other node answers for what this one published, and the other way round.
  await both[0].getByRole("button", { name: "Publish", exact: true }).click();
  await both[0].getByText("Event 2 is in the log.").waitFor();
  const read = async (address) => (await fetch(`${address}/${path(name)}/events?since=earliest`, { headers })).json();
  const log = async (address) => (await read(address)).events.map((event) => event.offset);
  const kept = [await log(url), await log(far)];

  const { cursor } = await read(far);
  const waiting = fetch(`${far}/${path(name)}/events?since=${cursor}&wait=50`, { headers }).then((answer) => answer.status);
  await both[0].locator("#presence", { hasText: /^1 request waits/ }).waitFor();
  await both[0].getByRole("button", { name: "Delete this channel" }).click();
  await both[0].getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await both[0].getByRole("heading", { level: 1, name: "Channels" }).waitFor();
  const left = [await log(url), await log(far)];

  // One says nothing any more, and is back.
  await both[0].getByRole("link", { name: "Overview" }).click();
  const health = both[0].locator(".health");
  process.kill(args.stop, "SIGSTOP");
  try {
    await health.filter({ hasText: /^A process has not reported for \d+ s/ }).waitFor();
  } finally {
    process.kill(args.stop, "SIGCONT");
  }
  await health.filter({ hasText: "2 processes are well" }).waitFor();
  return { overview, charted, presence, answered, traced, kept, gone: await waiting, left };
}
