// stanza.io under Node. Arguments: the folder of its package, the service, the hub, a channel, a
// password. Prints what happened, a JSON value a line.
import { createRequire } from "node:module";
import { MOST_MS, hub, mechanism, say, until } from "./scene.mjs";

const [folder, service, base, channel, password] = process.argv.slice(2);
const { createClient } = createRequire(import.meta.url)(folder);
const { publish, read } = hub(base);

class User {
  messages = [];
  presences = [];
  pushes = [];
  events = [];

  constructor(name, options) {
    this.name = name;
    this.client = createClient({ transports: { bosh: service, websocket: false }, timeout: MOST_MS / 1000, ...options });
    const { client } = this;
    client.on("session:started", () => (this.state = "started"));
    client.on("auth:failed", () => {
      // Of its own, for "disconnected" may follow at once.
      this.refused = true;
      say(name, "AUTHFAIL");
    });
    client.on("raw:outgoing", (xml) => mechanism(name, String(xml)));
    client.on("disconnected", () => (this.state = "disconnected"));
    client.on("message", (message) => {
      if (!message.body) return;
      this.messages.push(message.body);
      this.from = message.from;
    });
    client.on("presence", (presence) => this.presences.push([presence.from, presence.type ?? null]));
    client.on("roster:update", (iq) => this.pushes.push(iq.roster.items[0].subscription));
    client.on("raw:incoming", (xml) => {
      const json = /<json xmlns='urn:xmpp:json:0'>(.*?)<\/json>/.exec(String(xml));
      if (json) this.events.push(JSON.parse(json[1].replaceAll("&quot;", '"')));
    });
  }

  async login() {
    this.client.connect();
    await until(() => this.state === "started", `${this.name} is connected`);
    say(this.name, "CONNECTED", null);
  }

  tell(jid, text) {
    this.client.sendMessage({ to: jid, type: "chat", body: text });
  }

  async hears(other, ...texts) {
    await until(() => this.messages.length >= texts.length, `${this.name} hears ${texts}`);
    if (this.from !== other.client.jid) throw new Error(`${this.name} heard ${this.from}`);
    say(this.name, "heard", this.messages);
  }

  async leave() {
    this.client.disconnect();
    await until(() => this.state === "disconnected", `${this.name} is gone`);
    say(this.name, "DISCONNECTED", null);
  }
}

const stranger = new User("stranger", { jid: "romeo@localhost", password: "wrong" });
stranger.client.connect();
await until(() => stranger.refused, "a refusal");

const romeo = new User("romeo", { jid: "romeo@localhost", resource: "street", password });
const juliet = new User("juliet", { jid: "juliet@localhost", resource: "balcony", password });
const nobody = new User("nobody", { server: "localhost", jid: "localhost" });
// It tries what is best, whether it has a password or not.
for (const name of ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]) nobody.client.sasl.disable(name);
await Promise.all([romeo.login(), juliet.login(), nobody.login()]);

await romeo.client.getRoster();
await juliet.client.getRoster();
romeo.client.sendPresence();
juliet.client.sendPresence();
romeo.client.subscribe("juliet@localhost");
await until(() => juliet.presences.some(([from, type]) => from === "romeo@localhost" && type === "subscribe"), "asked");
juliet.client.acceptSubscription("romeo@localhost");
await until(() => romeo.pushes.includes("to"), "a roster push");
await until(() => romeo.presences.some(([from, type]) => from === "juliet@localhost/balcony" && !type), "presence");
say("romeo", "sees", "juliet");

romeo.tell("juliet@localhost/balcony", "She speaks <&>");
await juliet.hears(romeo, "She speaks <&>");
juliet.tell("romeo@localhost", "O Romeo");
await romeo.hears(juliet, "O Romeo");
romeo.tell(nobody.client.jid, "Who is there?");
await nobody.hears(romeo, "Who is there?");

// stanza.io keeps no session over a reload: what comes meanwhile comes to the next one.
await juliet.leave();
romeo.tell("juliet@localhost", "while she was away");
const again = new User("juliet again", { jid: "juliet@localhost", resource: "balcony", password });
await again.login();
again.client.sendPresence();
await again.hears(romeo, "while she was away");
romeo.tell("juliet@localhost", "and after");
await again.hears(romeo, "while she was away", "and after");

await romeo.client.subscribeToNode("pubsub.localhost", { node: channel, jid: romeo.client.jid, useBareJID: false });
await publish(channel, { price: 1 });
await until(() => romeo.events.length === 1, "a notification");
await again.client.publish("pubsub.localhost", channel, { itemType: "urn:xmpp:json:0", json: { price: 2 } });
await until(() => romeo.events.length === 2, "another");
say("romeo", "notified", romeo.events);
say("rest", "reads", await read(channel));

await Promise.all([romeo.leave(), again.leave(), nobody.leave()]);
process.exit(0);
