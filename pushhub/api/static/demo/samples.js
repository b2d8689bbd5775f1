// The code of each reader, to copy: whole, and with what a careful client does.

export const pollingCode = (url) => `let cursor = "now";
for (;;) {
  const answer = await fetch(
    \`${url}?since=\${cursor}\`);
  const page = await answer.json();
  if (answer.status === 410) cursor = page.oldest;
  if (answer.ok) {
    page.events.forEach(show);
    cursor = page.cursor;
  }
  await new Promise((done) =>
    setTimeout(done, 5000));
}`;

export const waitingCode = (url) => `let cursor = "now", pause = 0;
for (;;) {
  await new Promise((done) =>
    setTimeout(done, pause + Math.random() * 100));
  pause = Math.min(60000, 2 * pause || 1000);
  try {
    const answer = await fetch(
      \`${url}?since=\${cursor}\`, {
        headers: { Prefer: "wait=25" },
        signal: AbortSignal.timeout(35000) });
    const page = await answer.json();
    if (answer.status === 410) cursor = page.oldest;
    if (!answer.ok) continue;
    page.events.forEach(show);
    cursor = page.cursor;
    const waited = answer.headers
      .has("preference-applied");
    pause = page.retry_ms ?? (waited ? 0 : 5000);
  } catch { /* offline; later */ }
}`;

export const streamCode = (url) => `const source = new EventSource(
  "${url}?since=now");
source.onmessage = (event) =>
  show(JSON.parse(event.data));
source.addEventListener("gap", (event) =>
  reload(JSON.parse(event.data)));`;
