// The publish box: sends, says how that went, and shows the command that does the same.

import { $, credentials, duration, eventsUrl, now, page, say } from "./shared.js";

const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

let published = 0;
let publishing = false;

export async function publish() {
  if (publishing) return;
  publishing = true;
  const n = (published += 1);
  const begun = now();
  const note = $("published");
  try {
    const response = await fetch(eventsUrl(), {
      method: "POST",
      headers: { "Content-Type": "application/json", ...credentials() },
      body: JSON.stringify({ text: `${$("text").value} ${n}`.trim(), n, page: page.id, at: begun }),
      signal: AbortSignal.timeout(10_000),
    });
    const body = await response.json().catch(() => ({}));
    if (response.status === 401 || response.status === 403) askForToken();
    if (!response.ok) throw new Error(body.detail ?? `the server returned ${response.status}`);
    note.textContent = `Event ${body.offset} of ${body.channel} was in the log after ${duration(now() - begun)}.`;
    note.className = "note";
  } catch (error) {
    note.textContent = `Not published: ${error.name === "TypeError" ? "the server cannot be reached." : error.message}`;
    note.className = "note bad";
    say(note.textContent);
  }
  publishing = false;
}

export function askForToken() {
  $("access").hidden = false;
  showCurl();
}

export function showCurl() {
  const words = ["curl"];
  if (page.token || !$("access").hidden) words.push('-H "Authorization: Bearer $TOKEN"');
  words.push("-d", quote(JSON.stringify({ text: $("text").value || "hello" })), quote(eventsUrl()));
  $("curl").textContent = words.join(" ");
}
