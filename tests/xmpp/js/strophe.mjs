// Two Strophe clients talk, and share a channel with REST. Each line of output is a JSON object; the
// lines of input say when to go on.
//
//     node strophe.mjs <5|3> <address of /http-bind> <jid> <password>      (no password: anonymous)

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [version, service, jid, password] = process.argv.slice(2);

if (version === "5") {
    // Under Node, Strophe 5 reads answers only from an XMLHttpRequest that parses XML: jsdom's does.
    const { JSDOM } = await import("jsdom");
    const page = new JSDOM("", { url: new URL("/", service).href });
    globalThis.XMLHttpRequest = page.window.XMLHttpRequest;
} else {
    globalThis.XMLHttpRequest = (await import("xhr2")).default;
}
// What a page's console shows; our lines are alone on the output.
const print = console.log;
for (const level of ["debug", "log", "info", "warn"]) console[level] = () => {};
// Strophe 3 finds its WebSocket only as a module of the old kind, though it never opens one here.
const library =
    version === "5" ? await import("strophe.js") : createRequire(import.meta.url)("strophe3");
const { Strophe, $msg, $pres, $iq } = library;

const say = (what) => print(JSON.stringify(what));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function connect(address) {
    const connection = new Strophe.Connection(service);
    const client = { connection, statuses: [], messages: [], news: () => {} };
    connection.addHandler(
        (message) => {
            client.messages.push(message);
            client.news();
            return true;
        },
        null,
        "message",
    );
    client.ready = new Promise((resolve, reject) => {
        connection.connect(address, password || null, (status, condition) => {
            client.statuses.push(status);
            if (status === Strophe.Status.CONNECTED) resolve(client);
            if (status === Strophe.Status.DISCONNECTED) client.gone?.();
            if ([Strophe.Status.AUTHFAIL, Strophe.Status.CONNFAIL].includes(status))
                reject(new Error(`status ${status}: ${condition}`));
        });
    });
    return client;
}

async function message(client, name) {
    while (true) {
        const index = client.messages.findIndex((each) => each.getElementsByTagName(name).length);
        if (index >= 0) return client.messages.splice(index, 1)[0];
        await new Promise((resolve) => (client.news = resolve));
    }
}

const text = (element, name) => element.getElementsByTagName(name)[0]?.textContent;
const ask = (client, iq) =>
    new Promise((resolve, reject) => client.connection.sendIQ(iq, resolve, reject, 10_000));

const one = connect(jid), other = connect(jid);
try {
    await Promise.all([one.ready, other.ready]);
} catch (error) {
    say({ failed: error.message });
    process.exit(0);
}
for (const client of [one, other]) client.connection.send($pres());
say({ connected: [one.connection.jid, other.connection.jid] });

one.connection.send(
    $msg({ to: other.connection.jid, type: "chat" }).c("body").t("Wherefore art thou <&>?"),
);
const heard = await message(other, "body");
say({ from: heard.getAttribute("from"), body: text(heard, "body") });

const pubsub = "pubsub.localhost";
const node = (await lines.next()).value;
await ask(
    other,
    $iq({ type: "set", to: pubsub })
        .c("pubsub", { xmlns: "http://jabber.org/protocol/pubsub" })
        .c("subscribe", { node, jid: other.connection.jid }),
);
say({ subscribed: node });
const told = await message(other, "event");
say({ told: JSON.parse(text(told, "json")) });

await ask(
    one,
    $iq({ type: "set", to: pubsub })
        .c("pubsub", { xmlns: "http://jabber.org/protocol/pubsub" })
        .c("publish", { node })
        .c("item", { id: "from-strophe" })
        .c("json", { xmlns: "urn:xmpp:json:0" })
        .t('{"by": "strophe"}'),
);
say({ published: node });

await lines.next();
for (const client of [one, other]) {
    const gone = new Promise((resolve) => (client.gone = resolve));
    client.connection.disconnect("done");
    await gone;
}
say({ disconnected: true });
process.exit(0);
