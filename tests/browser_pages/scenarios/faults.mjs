// The console where its plots cannot be: on a system whose locale is "C", and without uPlot at all.
export default async function faults({ args, open, enter }) {
  const odd = await open();
  await odd.addInitScript(() => Object.defineProperty(Navigator.prototype, "language", { get: () => "C" }));
  await odd.goto(`${args.url}/console`);
  await enter(odd, args.key);
  await odd.locator("#state", { hasText: /^live$/ }).waitFor();
  await odd.locator(".plot canvas").first().waitFor();
  const plots = await odd.locator(".plot canvas").count();

  const broken = await open();
  await broken.addInitScript(() => {
    window.reported = [];
    window.reportError = (error) => window.reported.push(String(error));
  });
  await broken.route("**/uPlot.iife.min.js", (route) => route.fulfill({ contentType: "text/javascript", body: "" }));
  await broken.goto(`${args.url}/console`);
  await enter(broken, args.key);
  await broken.locator("#state", { hasText: "uPlot" }).waitFor();
  const state = await broken.locator("#state").textContent();
  // The feed goes on: figures come, second by second, and the fault is reported once.
  const beats = await broken.evaluate(() => new Promise((done) => {
    const beats = new Set();
    const look = setInterval(() => {
      beats.add(document.getElementById("tile-cpu").textContent + document.getElementById("tile-memory").textContent + document.getElementById("tile-published").textContent);
      if (document.getElementById("tile-holds").textContent !== "–" && beats.size >= 2) {
        clearInterval(look);
        done(beats.size);
      }
    }, 50);
  }));
  return { plots, state, beats, reported: await broken.evaluate(() => window.reported) };
}
