// BOSH (XEP-0124, XEP-0206): XMPP over long-polls, read here without a library. Where pushhub speaks
// it, a PubSub node is a channel, so this reader gets the same events as the others.

import { Reader } from "./reader.js";
import { address, bytes, either, page, say } from "./shared.js";

const WAIT_SECONDS = 25;
const SLACK_SECONDS = 10;
const BIND = "http-bind";
const PUBSUB = "http://jabber.org/protocol/pubsub";
const SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
const CLIENT = "jabber:client";

let domain = "";

const escape = (text) => text.replace(/[&<>'"]/g, (one) => `&#${one.codePointAt(0)};`);

/** Whether the hub speaks XMPP, and everybody may log in: then for which domain. */
export async function speaksBosh() {
  try {
    const answer = await fetch(address("demo/faces.json"), { signal: AbortSignal.timeout(5000) });
    domain = (await answer.json()).bosh ?? "";
  } catch { /* it has not said so */ }
  return domain !== "";
}

export class Bosh extends Reader {
  /** One session, from its creation to its end. */
  async turn(signal) {
    try {
      await this.session(signal);
    } finally {
      if (this.sid) this.terminate();
    }
  }

  async session(signal) {
    this.signal = signal;
    this.rid = Math.floor(Math.random() * 2 ** 40) + 1;
    this.sid = "";
    this.state("connecting");
    await this.send("", `to='${escape(domain)}' wait='${WAIT_SECONDS}' hold='1' ver='1.6' xml:lang='en' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'`);
    await this.send(`<auth xmlns='${SASL}' mechanism='ANONYMOUS'/>`, "", "success");
    await this.send("", `to='${escape(domain)}' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'`);
    await this.send(`<iq type='set' id='bind' xmlns='${CLIENT}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>`, "", "jid");
    const jid = this.found.textContent;
    await this.send(`<iq type='set' id='subscribe' to='pubsub.${escape(domain)}' xmlns='${CLIENT}'><pubsub xmlns='${PUBSUB}'>`
      + `<subscribe node='${escape(page.channel)}' jid='${escape(jid)}'/></pubsub></iq>`, "", "subscription");
    if (this.failures) say(`${this.title} is back.`, true);
    this.failures = 0;
    this.state("waiting", "on");
    for (;;) await this.send("");
  }

  /** One request. With `wanted`, wait until an element of that name has come. */
  async send(stanzas, attributes = "", wanted = "") {
    this.found = null;
    let text = stanzas;
    do {
      this.take(await this.post(text, attributes), wanted);
      text = attributes = "";
    } while (wanted && !this.found);
  }

  async post(stanzas, attributes) {
    this.requests += 1;
    this.rid += 1;
    this.show();
    const sid = this.sid ? `sid='${escape(this.sid)}'` : "";
    const response = await fetch(address(BIND), {
      method: "POST",
      headers: { "Content-Type": "text/xml; charset=utf-8" },
      body: `<body rid='${this.rid}' ${sid} xmlns='http://jabber.org/protocol/httpbind' ${attributes}>${stanzas}</body>`,
      signal: either(this.signal, AbortSignal.timeout((WAIT_SECONDS + SLACK_SECONDS) * 1000)),
    });
    const text = await response.text();
    this.bytes += bytes(text);
    if (!response.ok) throw new Error(`refused, status ${response.status}`);
    return new DOMParser().parseFromString(text, "text/xml").documentElement;
  }

  /** Nobody waits for the answer; without this the session would stay for a minute. */
  terminate() {
    const body = `<body rid='${this.rid + 1}' sid='${escape(this.sid)}' type='terminate' xmlns='http://jabber.org/protocol/httpbind'/>`;
    fetch(address(BIND), { method: "POST", headers: { "Content-Type": "text/xml; charset=utf-8" }, body }).catch(() => {});
    this.sid = "";
  }

  take(body, wanted) {
    if (body.getAttribute("type") === "terminate") {
      this.sid = "";
      throw new Error(`the session ended, ${body.getAttribute("condition") ?? "as asked for"}`);
    }
    this.sid ||= body.getAttribute("sid") ?? "";
    const refused = body.querySelector("failure, iq[type=error]");
    if (refused) throw new Error(`refused, ${(refused.querySelector("error") ?? refused).firstElementChild?.localName ?? "no reason"}`);
    if (wanted) this.found = body.querySelector(wanted);
    for (const items of body.getElementsByTagNameNS(`${PUBSUB}#event`, "items")) {
      if (items.getAttribute("node") !== page.channel || this.isOld(items)) continue;
      for (const item of items.children) this.read(item);
    }
    this.show();
  }

  /** The last item from before the subscription, which says so (XEP-0203). */
  isOld(items) {
    return items.closest("message")?.getElementsByTagNameNS("urn:xmpp:delay", "delay").length > 0;
  }

  read(item) {
    let data = item.textContent;
    try { data = JSON.parse(data); } catch { /* text */ }
    this.took(item.getAttribute("id") ?? "", data);
  }
}

export const boshCode = () => `// with Strophe.js
const connection = new Strophe.Connection(
  "${address(BIND)}");
connection.connect("${domain}", "", (status) => {
  if (status !== Strophe.Status.CONNECTED) return;
  connection.addHandler((message) => {
    show(message);
    return true;
  }, "${PUBSUB}#event", "message");
  connection.sendIQ($iq({ type: "set",
      to: "pubsub.${domain}" })
    .c("pubsub", { xmlns: "${PUBSUB}" })
    .c("subscribe", { node: ${JSON.stringify(page.channel)},
      jid: connection.jid }));
});`;
