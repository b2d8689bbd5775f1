// Strophe.js in pages, which jsdom makes. Arguments: the folder of its package, the service, the hub, a
// channel, a password. Prints what happened, a JSON value a line.
//
// With a password the pages are of another origin, and Romeo and Juliet have accounts; without one the
// pages are the hub's own, and everybody is temporary.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { webcrypto } from "node:crypto";
import { join } from "node:path";
import { MOST_MS, hub, mechanism, say, until } from "./scene.mjs";

const [folder, service, base, channel, password] = process.argv.slice(2);
const origin = password ? "http://elsewhere.localhost/" : base;
const { JSDOM } = createRequire(join(folder, "package.json"))("jsdom");
const script = readFileSync(join(folder, "dist/strophe.umd.min.js"), "utf8");
const { publish, read } = hub(base);

const PUBSUB = "http://jabber.org/protocol/pubsub";
const JSON_NS = "urn:xmpp:json:0";

function page() {
  const { window } = new JSDOM("", { url: origin, runScripts: "outside-only" });
  Object.defineProperty(window, "crypto", { value: webcrypto });
  window.TextEncoder ??= TextEncoder;
  window.TextDecoder ??= TextDecoder;
  // What is hashed must be of the realm of Node's webcrypto.
  for (const kind of ["ArrayBuffer", "Uint8Array", "DataView"]) window[kind] = globalThis[kind];
  window.eval(script);
  return window;
}

class User {
  states = [];
  messages = [];
  presences = [];
  pushes = [];
  events = [];

  constructor(name, window) {
    this.name = name;
    this.window = window;
    this.strophe = window.strophe ?? window;
    const { Strophe } = this.strophe;
    Strophe.setLogLevel(Strophe.LogLevel.ERROR);
    this.connection = new Strophe.Connection(service, { keepalive: true });
    this.connection.rawOutput = (text) => mechanism(name, text);
    this.names = Object.fromEntries(Object.entries(Strophe.Status).map(([k, v]) => [v, k]));
  }

  async login(jid, secret, end = "CONNECTED") {
    this.connection.connect(jid, secret, (status, condition) => this.status(status, condition));
    await until(() => this.states.includes(end), `${this.name} is ${end}`);
  }

  status(status, condition) {
    this.state = this.names[status];
    this.states.push(this.state);
    say(this.name, this.state, condition ?? null);
    if (this.state === "CONNECTED" || this.state === "ATTACHED") this.listen();
  }

  listen() {
    const on = (name, take) => this.connection.addHandler((stanza) => (take(stanza), true), null, name);
    on("message", (stanza) => {
      const text = [...stanza.childNodes].find((child) => child.nodeName === "body")?.textContent;
      if (text) {
        this.messages.push(text);
        this.from = stanza.getAttribute("from");
      }
      const item = stanza.getElementsByTagName("json")[0];
      if (item) this.events.push(JSON.parse(item.textContent));
    });
    on("presence", (stanza) => this.presences.push([stanza.getAttribute("from"), stanza.getAttribute("type")]));
    this.connection.addHandler((stanza) => {
      const item = stanza.getElementsByTagName("item")[0];
      this.pushes.push(item.getAttribute("subscription"));
      this.send(this.strophe.$iq({ type: "result", id: stanza.getAttribute("id") }));
      return true;
    }, "jabber:iq:roster", "iq", "set");
  }

  send(stanza) {
    this.connection.send(stanza);
  }

  ask(stanza) {
    return new Promise((resolve, reject) =>
      this.connection.sendIQ(stanza, resolve, (error) => reject(new Error(error?.outerHTML)), MOST_MS),
    );
  }

  tell(jid, text) {
    this.send(this.strophe.$msg({ to: jid, type: "chat" }).c("body").t(text));
  }

  async hears(other, ...texts) {
    await until(() => this.messages.length >= texts.length, `${this.name} hears ${texts}`);
    if (this.from !== other.connection.jid) throw new Error(`${this.name} heard ${this.from}`);
    say(this.name, "heard", this.messages);
  }

  async restore() {
    const old = this.connection.jid;
    const stored = this.window.sessionStorage.getItem("strophe-bosh-session");
    this.window.close();
    const next = new User(`${this.name} again`, page());
    return { old, async open() {
      next.window.sessionStorage.setItem("strophe-bosh-session", stored);
      next.connection.restore(password ? old : "localhost", (status, condition) => next.status(status, condition));
      await until(() => next.state === "ATTACHED", `${next.name} is attached`);
      return next;
    } };
  }

  async leave() {
    this.connection.disconnect("done");
    await until(() => this.state === "DISCONNECTED", `${this.name} is gone`);
  }
}

if (password) await new User("stranger", page()).login("romeo@localhost", "wrong", "AUTHFAIL");

const romeo = new User("romeo", page());
const juliet = new User("juliet", page());
const nobody = new User("nobody", page());
await Promise.all([
  romeo.login(password ? "romeo@localhost/street" : "localhost", password),
  juliet.login(password ? "juliet@localhost/balcony" : "localhost", password),
  nobody.login("localhost", null),
]);
const { $iq, $pres } = romeo.strophe;

// Rosters and presence.
if (password) {
  await romeo.ask($iq({ type: "get" }).c("query", { xmlns: "jabber:iq:roster" }));
  await juliet.ask(juliet.strophe.$iq({ type: "get" }).c("query", { xmlns: "jabber:iq:roster" }));
}
romeo.send($pres());
juliet.send(juliet.strophe.$pres());
if (password) {
  romeo.send($pres({ to: "juliet@localhost", type: "subscribe" }));
  await until(() => juliet.presences.some(([from, type]) => from === "romeo@localhost" && type === "subscribe"), "asked");
  juliet.send(juliet.strophe.$pres({ to: "romeo@localhost", type: "subscribed" }));
  await until(() => romeo.pushes.includes("to"), "a roster push");
  await until(() => romeo.presences.some(([from, type]) => from === "juliet@localhost/balcony" && !type), "presence");
  say("romeo", "sees", "juliet");
}

// A chat, by full and by bare addresses; nobody is temporary.
romeo.tell(juliet.connection.jid, "She speaks <&>");
await juliet.hears(romeo, "She speaks <&>");
juliet.tell(password ? "romeo@localhost" : romeo.connection.jid, "O Romeo");
await romeo.hears(juliet, "O Romeo");
romeo.tell(nobody.connection.jid, "Who is there?");
await nobody.hears(romeo, "Who is there?");

// Juliet's page is reloaded: what was held goes, and her session is in the new page's storage.
const reload = await juliet.restore();
romeo.tell(reload.old, "while she was away");
const later = await reload.open();
await later.hears(romeo, "while she was away");
romeo.tell(reload.old, "and after");
await later.hears(romeo, "while she was away", "and after");

// What REST publishes is notified, and what XMPP publishes is an event.
const subscribe = romeo.connection.jid;
await romeo.ask($iq({ type: "set", to: "pubsub.localhost" })
  .c("pubsub", { xmlns: PUBSUB }).c("subscribe", { node: channel, jid: subscribe }));
await publish(channel, { price: 1 });
await until(() => romeo.events.length === 1, "a notification");
await later.ask(later.strophe.$iq({ type: "set", to: "pubsub.localhost" })
  .c("pubsub", { xmlns: PUBSUB }).c("publish", { node: channel }).c("item", { id: "of-hers" })
  .c("json", { xmlns: JSON_NS }).t(JSON.stringify({ price: 2 })));
await until(() => romeo.events.length === 2, "another");
say("romeo", "notified", romeo.events);
say("rest", "reads", await read(channel));

// Two sessions of one account.
const users = [romeo, later, nobody];
if (password) {
  const abroad = new User("romeo abroad", page());
  await abroad.login("romeo@localhost", password);
  abroad.send(abroad.strophe.$pres());
  romeo.tell(abroad.connection.jid, "to myself");
  await abroad.hears(romeo, "to myself");
  users.push(abroad);
}

await Promise.all(users.map((user) => user.leave()));
process.exit(0);
