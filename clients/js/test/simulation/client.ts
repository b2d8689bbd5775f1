/** The client as a script that is given its browser: built from the sources, or from sources with a fault. */

import { readFileSync } from "node:fs";
import { build } from "esbuild";
import type { Connect, StartPoll } from "../../src/types.js";
import { SOURCE } from "./times.js";

/** A piece of a source, and what stands there instead. */
export interface Mutation {
  file: string;
  from: string;
  to: string;
}

export interface Client {
  connect: Connect;
  poll: StartPoll;
}
/** Start the client in a tab: the names are those of the browser that it may use. */
export type Start = (browser: Record<string, unknown>) => Client;

const NAMES = [
  "globalThis", "setTimeout", "clearTimeout", "Date", "Math", "addEventListener", "removeEventListener",
  "document", "navigator", "BroadcastChannel", "sessionStorage", "fetch", "crypto", "queueMicrotask", "setInterval",
];

const start = (code: string): Start => {
  const run = new Function(...NAMES, code);
  return (browser) => {
    const global: Record<string, unknown> = { ...browser };
    run(...NAMES.map((name) => (name == "globalThis" ? global : browser[name])));
    return global.pushhub as Client;
  };
};

export const compile = async (...mutations: Mutation[]): Promise<Start> => {
  const left = new Set(mutations);
  const { outputFiles } = await build({
    entryPoints: [new URL("script.ts", SOURCE).pathname],
    bundle: true,
    write: false,
    format: "iife",
    target: "es2022",
    plugins: [
      {
        name: "mutations",
        setup: ({ onLoad }) =>
          onLoad({ filter: /\/src\/\w+\.ts$/ }, ({ path }) => {
            let contents = readFileSync(path, "utf8");
            for (const mutation of mutations)
              if (path.endsWith("/" + mutation.file)) {
                if (contents.split(mutation.from).length != 2) throw new Error(`${mutation.file} has no one ${mutation.from}`);
                contents = contents.replace(mutation.from, () => mutation.to);
                left.delete(mutation);
              }
            return { contents, loader: "ts" };
          }),
      },
    ],
  });
  if (left.size) throw new Error("a mutation has no file");
  return start(outputFiles[0]!.text);
};

/** What the hub serves: the same, made small. */
export const served = (): Start =>
  start(readFileSync(new URL("../../../../pushhub/api/static/client.js", import.meta.url), "utf8"));
