// Strophe.js in a page of another origin: two users log in over BOSH and chat; then one reloads in
// the middle, and misses nothing. Arguments: the address of the service. Prints what happened, a
// JSON value a line; ends with status 0 when all of it did.
import { readFileSync } from "node:fs";
import { webcrypto } from "node:crypto";
import { JSDOM } from "jsdom";

const service = process.argv[2];
const script = readFileSync(
  new URL("node_modules/strophe.js/dist/strophe.umd.min.js", import.meta.url),
  "utf8",
);

function say(...what) {
  console.log(JSON.stringify(what));
}

function page() {
  const { window } = new JSDOM("", { url: "http://elsewhere.example/", runScripts: "outside-only" });
  Object.defineProperty(window, "crypto", { value: webcrypto });
  window.TextEncoder ??= TextEncoder;
  window.TextDecoder ??= TextDecoder;
  window.eval(script);
  return window;
}

class User {
  constructor(name, window) {
    this.name = name;
    this.messages = [];
    this.waiting = [];
    this.strophe = window.strophe ?? window;
    const { Strophe } = this.strophe;
    Strophe.setLogLevel(Strophe.LogLevel.ERROR);
    this.connection = new Strophe.Connection(service, { keepalive: true });
    this.names = Object.fromEntries(Object.entries(Strophe.Status).map(([k, v]) => [v, k]));
  }

  until(test, what) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${this.name}: no ${what}`)), 10000);
      const check = () => test() && (clearTimeout(timer), resolve());
      this.waiting.push(check);
      check();
    });
  }

  news() {
    this.waiting.forEach((check) => check());
  }

  listen() {
    this.connection.addHandler(
      (stanza) => {
        this.messages.push(stanza.querySelector("body")?.textContent);
        this.news();
        return true;
      },
      null,
      "message",
    );
  }

  status(status, condition) {
    this.state = this.names[status];
    say(this.name, this.state, condition ?? null);
    if (this.state === "CONNECTED" || this.state === "ATTACHED") {
      this.listen();
    }
    this.news();
  }

  async login() {
    this.connection.connect("localhost", null, (...args) => this.status(...args));
    await this.until(() => this.state === "CONNECTED", "connection");
    this.connection.send(this.strophe.$pres());
  }

  async restore() {
    this.connection.restore("localhost", (...args) => this.status(...args));
    await this.until(() => this.state === "ATTACHED", "session");
  }

  tell(other, text) {
    const { $msg } = this.strophe;
    this.connection.send($msg({ to: other.connection.jid, type: "chat" }).c("body").t(text));
  }

  async hears(...texts) {
    await this.until(() => this.messages.length >= texts.length, texts.join());
    if (JSON.stringify(this.messages) !== JSON.stringify(texts)) {
      throw new Error(`${this.name} heard ${this.messages} instead of ${texts}`);
    }
    say(this.name, "heard", texts);
  }

  async leave() {
    this.connection.disconnect("done");
    await this.until(() => this.state === "DISCONNECTED", "end");
  }
}

const home = page();
const romeo = new User("romeo", page());
const juliet = new User("juliet", home);
await Promise.all([romeo.login(), juliet.login()]);
romeo.tell(juliet, "She speaks");
await juliet.hears("She speaks");
juliet.tell(romeo, "O Romeo");
await romeo.hears("O Romeo");

// Juliet's page is reloaded: what was held goes, and her session is in the new page's storage.
const stored = home.sessionStorage.getItem("strophe-bosh-session");
home.close();
romeo.tell(juliet, "while she was away");
const again = page();
again.sessionStorage.setItem("strophe-bosh-session", stored);
const later = new User("juliet again", again);
await later.restore();
await later.hears("while she was away");
romeo.tell(juliet, "and after");
await later.hears("while she was away", "and after");

await Promise.all([romeo.leave(), later.leave()]);
process.exit(0);
