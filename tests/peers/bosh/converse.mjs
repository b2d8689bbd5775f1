// Converse.js in a real Chromium. Arguments: the folder of the packages, Chromium, the site with
// the page, the service, the hub, a channel, a password, a folder for pictures. Prints what
// happened, a JSON value a line.
import { createRequire } from "node:module";
import { hub, say, until } from "./scene.mjs";

const [folder, program, site, service, base, channel, password, pictures] = process.argv.slice(2);
const { chromium } = createRequire(`${folder}/`)("playwright-core");
const { publish } = hub(base);

// As root, which containers of CI are, Chromium has no sandbox.
const browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
const address = (name) => `${site}/page.html?as=${name}&service=${encodeURIComponent(service)}`;

class User {
  constructor(name, page) {
    this.name = name;
    this.page = page;
    page.setDefaultTimeout(30000);
    page.on("pageerror", (error) => say(name, "error", error.message));
    page.on("request", (request) => {
      if (request.url() === service && request.method() === "POST") this.asked = Date.now();
      const chosen = /<auth [^>]*mechanism=['"]([A-Z0-9-]+)/.exec(request.postData() ?? "");
      if (chosen) say(name, "mechanism", chosen[1]);
    });
  }

  static async open(name) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    // Converse.js thanks its sponsors with pictures from its own site, which no test asks.
    await context.route((url) => ![site, base].includes(url.origin), (route) => route.abort());
    const user = new User(name, await context.newPage());
    await user.page.goto(address(name));
    return user;
  }

  /** By the form, as people do. */
  async login() {
    await this.page.locator("input[name=jid]").fill(`${this.name}@localhost`);
    await this.page.locator("input[name=password]").fill(password);
    await this.page.locator("input[type=submit], button[type=submit]").first().click();
    await this.online();
  }

  async online() {
    await this.page.waitForFunction(() => window.how);
    say(this.name, await this.page.evaluate(() => window.how));
  }

  jid() {
    return this.page.evaluate(() => window.api.connection.get().jid);
  }

  async chat(jid) {
    await this.page.evaluate((jid) => window.api.chats.open(jid, {}, true), jid);
    await this.page.locator("textarea.chat-textarea").first().waitFor();
  }

  async tell(text) {
    const area = this.page.locator("textarea.chat-textarea:visible").first();
    await area.fill(text);
    await area.press("Enter");
  }

  /** What stands in the open chat, when that text is there. */
  async hears(text) {
    await this.page.locator(".chat-msg__text", { hasText: text }).first().waitFor();
    const texts = await this.page.locator(".chat-msg__text:visible").allTextContents();
    say(this.name, "sees", texts.map((each) => each.trim()));
  }

  /**
   * Wait until its last request is the one that is held. Strophe.js counts a request on when it makes
   * it, and sends it up to 100 ms later: with a page that is left in between, the number is never
   * used, and the session ends. (No message is lost even so: it logs in again by itself.)
   */
  async quiet() {
    await until(() => Date.now() - this.asked > 500, `${this.name} is quiet`);
    // A busy page sends later: then there is something that it has made, or is to make one of.
    await this.page.waitForFunction(() => {
      const { _proto: { _requests: made }, _data: data } = window.api.connection.get();
      return !data.length && made.length === 1 && made[0].sends === 1 && made[0].xhr.readyState === XMLHttpRequest.OPENED;
    });
  }

  async picture(name) {
    await this.page.screenshot({ path: `${pictures}/converse-${name}.png` });
  }
}

try {
  const [romeo, juliet, nobody] = await Promise.all(["romeo", "juliet", "nobody"].map((name) => User.open(name)));
  await Promise.all([romeo.login(), juliet.login(), nobody.online()]);
  say("nobody", "is", (await nobody.jid()).split("@")[1].split("/")[0]);

  // Contacts, both ways: Juliet's client accepts by itself, and asks back.
  await romeo.page.evaluate(() => window.api.contacts.add({ jid: "juliet@localhost", name: "Juliet" }));
  const state = (jid) => romeo.page.waitForFunction(async (jid) => {
    const contact = await window.api.contacts.get(jid);
    return contact?.get("subscription") === "both" && contact.presence?.getStatus?.() === "online";
  }, jid, { polling: 100 });
  await state("juliet@localhost");
  say("romeo", "has", "juliet online");

  await romeo.chat("juliet@localhost");
  await juliet.chat("romeo@localhost");
  await romeo.tell("She speaks");
  await juliet.hears("She speaks");
  await juliet.tell("O Romeo");
  await romeo.hears("O Romeo");
  await romeo.picture("chat");

  // Juliet's page is reloaded, and Romeo writes in the middle of it.
  const before = await juliet.jid();
  await juliet.quiet();
  await juliet.page.goto(`${site}/away.html`);
  await romeo.tell("while she was away");
  await juliet.page.goto(address("juliet"));
  await juliet.online();
  say("juliet", (await juliet.jid()) === before ? "is the same" : "is another");
  await juliet.chat("romeo@localhost");
  await juliet.hears("while she was away");
  await romeo.tell("and after");
  await juliet.hears("and after");
  await juliet.picture("reloaded");

  // Who has no account reads what REST publishes, too.
  const node = async (user) => user.page.evaluate(async (channel) => {
    const { api } = window;
    const jid = api.connection.get().jid;
    const { $iq } = converse.env;
    await api.sendIQ($iq({ type: "set", to: "pubsub.localhost" })
      .c("pubsub", { xmlns: "http://jabber.org/protocol/pubsub" }).c("subscribe", { node: channel, jid }));
  }, channel);
  await Promise.all([node(juliet), node(nobody)]);
  await publish(channel, { price: 1 });
  for (const user of [juliet, nobody]) {
    await user.page.locator("#news", { hasText: '{"price":1}' }).waitFor();
    say(user.name, "reads", JSON.parse(await user.page.locator("#news").textContent()));
  }
  await juliet.picture("published");
} finally {
  await browser.close();
}
