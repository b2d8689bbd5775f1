/** Faults that are put in by hand: the simulation finds each. */

import type { Mutation } from "./client.js";
import { script, type Action, type Story } from "./story.js";

export interface Fault extends Mutation {
  name: string;
  /** What happens more often in the stories that find it, where it is rare. */
  focus?: Action[];
  /** The shrunk story that found it, where seeds find it rarely. */
  story?: Story;
}

const HOUR = 3600_000;

export const FAULTS: Fault[] = [
  {
    name: "the cursor moves before the events are handed over",
    file: "readers.ts",
    from: "        for (const event of events[channel] ?? [])",
    to: "        reader.at = to;\n        for (const event of events[channel] ?? [])",
  },
  {
    name: "a retry without a pause",
    file: "asking.ts",
    from: "      await pause(Math.max(after || 0, backoff(++failures)), !!after);",
    to: "",
  },
  {
    name: "a hub that does not wait is asked again immediately",
    focus: ["impatient"],
    file: "asking.ts",
    from: 'return PLAIN_MS;\n      // So would one',
    to: "return 0;\n      // So would one",
  },
  {
    name: "a lock is never released",
    file: "tabs.ts",
    from: 'new Promise((done) => signal.addEventListener("abort", done))',
    to: "new Promise(() => {})",
  },
  {
    name: "a gap is swallowed",
    file: "readers.ts",
    from: 'give({ type: "gap", channel, ...gap }, to);',
    to: "reader.at = to;",
  },
  {
    name: "the late response of a tab that was frozen is believed",
    file: "readers.ts",
    from: "if (!(event.offset <= offsetOf(reader.at))) give",
    to: "give",
  },
  {
    name: "a response to another position is believed",
    file: "readers.ts",
    from: "if (!to || !serves(from[channel], reader.at)) continue;",
    to: "if (!to) continue;",
  },
  {
    name: "a request has no limit of time",
    file: "asking.ts",
    from: "    limit(SLACK_MS + 1000 * wait);\n",
    to: "    began = Date.now();\n",
  },
  {
    name: "the timer of a pause is left behind",
    file: "asking.ts",
    from: "        clearTimeout(timer);\n        done();",
    to: "        done();",
  },
  {
    name: "a poll that is stopped leaves its timer",
    file: "value.ts",
    from: "clearTimeout(timer));",
    to: "stopped || clearTimeout(timer));",
  },
  {
    name: "a page in the back/forward cache keeps its locks",
    file: "tabs.ts",
    from: '  addEventListener("pagehide", leave);\n',
    to: "",
  },
  {
    name: "a tab that begins to ask does not ask what the others read",
    file: "tabs.ts",
    from: "      if (hello) changed();\n",
    to: "",
  },
  {
    name: "a tab that lost the lock goes on",
    file: "tabs.ts",
    from: "      lead(false);\n      void apply();",
    to: "      void apply();",
  },
  {
    name: "a token that was refused is used again",
    file: "request.ts",
    from: "if (response.status == 401) good = 0;",
    to: "",
  },
  {
    name: "what is read is not stored before the page ends",
    file: "hub.ts",
    from: "      readers.accept(from!, answer);\n      save();",
    to: "      readers.accept(from!, answer);",
  },
  {
    name: "the readers of a tab that ended are asked for",
    file: "tabs.ts",
    from: "        tabs.delete(id);\n        forget(id);",
    to: "        tabs.delete(id);",
  },
  // What the simulation found in the client.
  {
    name: "found: what one reader missed is told to those that have it, and they hear it again",
    file: "readers.ts",
    from: 'if (gap && !(gap.reason == "trimmed" && serves(to, reader.at)))',
    to: "if (gap)",
  },
  {
    name: "found: a refusal whose body is cut ends everything",
    story: script([{ action: "lateBodies", lasts: 20_000 }, { action: "forbid" }, { action: "cutAll" }, { action: "setValue", pause: 20_000 }]),
    file: "request.ts",
    from: "await response.text();\n  let",
    to: 'await response.text().catch(() => "");\n  let',
  },
  {
    name: "found: the first reader of an outage is never asked for",
    story: script(
      [
        { action: "restart", lasts: HOUR },
        { action: "unsubscribe", pause: 5000 },
        { action: "unsubscribe" },
        { action: "subscribe", pause: 120_000, channel: 1 },
      ],
      { share: false },
    ),
    file: "asking.ts",
    from: 'if (!failures) wake();',
    to: 'if (asker.state() != "offline") wake();',
  },
  {
    name: "found: a tab that heard nobody asks for itself for ever",
    story: script([
      { action: "crash", tab: 2, lasts: HOUR },
      { action: "freeze", tab: 0, lasts: HOUR },
      { action: "closeTab", tab: 1, lasts: 1000 },
      { action: "setValue", pause: 100_000 },
    ]),
    file: "tabs.ts",
    from: "        hub.lead(false);\n        changed();\n",
    to: "",
  },
  {
    name: "found: a tab comes back from the back/forward cache under a name that others wait for",
    focus: ["freeze", "goBack"],
    file: "tabs.ts",
    from: "    me = Math.random().toString(36).slice(2);\n",
    to: "    me ??= Math.random().toString(36).slice(2);\n",
  },
];
