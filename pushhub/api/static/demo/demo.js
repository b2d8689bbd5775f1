// One channel, its readers side by side, and the time that an event takes to each of them.

import { Bosh, boshCode, speaksBosh } from "./bosh.js";
import { plot } from "./plot.js";
import { Polling, Waiting } from "./polling.js";
import { askForToken, publish, showCurl } from "./publishing.js";
import { pollingCode, streamCode, waitingCode } from "./samples.js";
import { $, copyText, duration, page, say } from "./shared.js";
import { Streaming } from "./streaming.js";

/** Who has received what this page published, for the ear. */
const arrivals = {
  of: new Map(),
  took(reader, n, latency) {
    const got = this.of.get(n) ?? [];
    got.push(`${reader.title} ${duration(latency)}`);
    this.of.set(n, got);
    if (got.length === readers.length) {
      this.of.delete(n);
      say(`Event ${n} has arrived: ${got.join(", ")}.`);
    }
    if (this.of.size > 100) this.of.delete(this.of.keys().next().value);
  },
};

const hooks = {
  refused: askForToken,
  latency(reader, latency, n) {
    plot.add(reader.id, latency);
    arrivals.took(reader, n, latency);
  },
};

const { readers } = plot;

function add(reader) {
  readers.push(reader);
  reader.start();
}

function restart() {
  plot.points = [];
  arrivals.of.clear();
  for (const reader of readers) reader.start();
  showCurl();
  plot.draw();
}

$("channel").value = page.channel;
add(new Polling("polling", "Plain polling", pollingCode, hooks));
add(new Waiting("waiting", "Long-polling", waitingCode, hooks));
add(new Streaming("stream", "Server-Sent Events", streamCode, hooks));
showCurl();
plot.draw();

$("publish").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("channel").value.trim() !== page.channel) return; // its change comes first, and starts the readers
  publish();
});
$("channel").addEventListener("change", () => {
  const name = $("channel").value.trim();
  if (!name || name === page.channel) return;
  page.channel = name;
  const address = new URL(location.href);
  address.searchParams.set("channel", name);
  history.replaceState(null, "", address);
  restart();
});
$("text").addEventListener("input", showCurl);
$("access").addEventListener("submit", (event) => {
  event.preventDefault();
  page.token = $("token").value.trim();
  restart();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copyText($(button.dataset.copy), button));
}

let ticking = 0;
$("every").addEventListener("change", () => {
  clearInterval(ticking);
  if ($("every").checked) {
    publish();
    ticking = setInterval(publish, 1000);
  }
});

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let drawn = 0;
setInterval(() => {
  if (document.hidden || performance.now() - drawn < (calm.matches ? 5000 : 100)) return;
  drawn = performance.now();
  if (plot.points.length) plot.draw();
}, 100);
addEventListener("resize", () => plot.draw());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.draw());

if (await speaksBosh()) {
  $("bosh").hidden = false;
  $("readers").classList.add("four");
  $("count").textContent = "four";
  add(new Bosh("bosh", "BOSH", boshCode, hooks));
}
