// axe-core on every view, light and dark, phone and desktop; and nothing is wider than its window.
export default async function access({ args, open, axe, overflow, enter }) {
  const { url, key } = args;
  const found = {};
  const walk = async (scheme, width) => {
    const page = await open({ width, scheme });
    const look = async (view) => {
      const about = `${view} ${scheme} ${width}`;
      const wrong = await axe(page);
      if (wrong.length) found[about] = wrong;
      const wider = await overflow(page);
      if (wider > 0) found[`${about} is wider by`] = wider;
    };
    await page.goto(`${url}/demo`);
    if (key) {
      await page.locator("#access").waitFor();
      await page.getByLabel("API key or token").fill(key);
      await page.getByRole("button", { name: "Use it" }).click();
    }
    // A stream begins with what is published from then on.
    await page.locator("#stream [data-is=state]", { hasText: "live" }).waitFor();
    await page.getByRole("button", { name: "Publish" }).click();
    await page.locator("#stream li b", { hasText: /s$/ }).first().waitFor();
    for (const summary of await page.locator(".reader:not([hidden]) summary").all()) await summary.click();
    await look("demo");
    await page.goto(`${url}/console`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await look("sign in");
    await enter(page, key);
    await page.locator(".plot canvas").first().waitFor();
    await page.locator("#state", { hasText: "live" }).waitFor();
    await look("overview");
    for (const [name, title, hash, ready] of [
      ["channels", "Channels", "#/channels", "tbody tr"],
      ["channel", "seen", "#/channels/seen", ".events summary"],
      ["trace", "Trace", "#/trace?channel=seen", "#view h1"],
      ["settings", "Settings", "#/settings", ".settings dt"],
    ]) {
      await page.evaluate((to) => { location.hash = to; }, hash);
      // The view before has a table, too.
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      await page.locator(ready).first().waitFor();
      if (name === "channel") await page.locator(".events summary").first().click();
      if (name === "trace") {
        await page.getByText(/^Tracing/).waitFor();
        await fetch(`${url}/v1/channels/seen/events`, { method: "POST", body: "1", headers: { Authorization: `Bearer ${key}` } });
        await page.locator(".trace-logged").first().waitFor();
      }
      await look(name);
    }
    await page.evaluate(() => { location.hash = "#/channels/seen"; });
    await page.getByRole("button", { name: "Delete this channel" }).click();
    await page.getByRole("dialog").waitFor();
    await look("dialog");
    await page.context().close();
  };
  // A context each, at the same time: most of it is waiting.
  const looks = [["light", 360], ["light", 1440], ["dark", 360], ["dark", 1440]];
  await Promise.all(looks.map((look) => walk(...look)));
  return found;
}
