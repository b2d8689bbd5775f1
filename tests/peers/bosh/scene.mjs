// What all scenes with clients of BOSH need.

// What takes milliseconds, unless the machine does much else.
export const MOST_MS = 30_000;

/** Print what happened. */
export function say(...what) {
  console.log(JSON.stringify(what));
}

/** Wait until something is true: a client has been told. */
export async function until(test, what) {
  const end = Date.now() + MOST_MS;
  while (!test()) {
    if (Date.now() > end) throw new Error(`not within ${MOST_MS / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The hub's REST side. */
export function hub(base) {
  const events = (channel) => `${base}/v1/channels/${channel}/events`;
  return {
    async publish(channel, data) {
      const answer = await fetch(events(channel), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(data),
      });
      if (!answer.ok) throw new Error(await answer.text());
    },
    async read(channel) {
      const answer = await (await fetch(events(channel))).json();
      return answer.events.map((event) => event.data);
    },
  };
}

/** Tell which way of a login a client has chosen, if this is it. */
export function mechanism(name, sent) {
  const found = /<auth [^>]*mechanism=['"]([A-Z0-9-]+)['"]/.exec(sent);
  if (found) say(name, "mechanism", found[1]);
}
