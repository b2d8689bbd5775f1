// The hub's API, with the operator's key. The key is in this module's memory and nowhere else: a
// reload forgets it, no storage and no address ever has it, and no other page can send it.

const base = new URL("..", import.meta.url);
let key = "";
let open = false; // with --dev nobody asks for a key
let whenRefused = () => {};

export const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** An answer that is none: its problem, as the hub tells it. */
export class Refused extends Error {
  constructor(status, problem, retryAfter) {
    super(problem.detail ?? problem.title ?? `The server returned ${status}.`);
    this.status = status;
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** No answer at all. Whatever else fails is a mistake of this page, and is not to be told as this. */
export class Unreachable extends Error {}

export const address = (path) => new URL(path, base).href;
export const channelPath = (name) => `v1/channels/${encodeURIComponent(name)}`;

/** Ask, and get the answer's JSON; a gap is an answer too, of whoever says so. */
export async function ask(method, path, { body, headers = {}, signal, seconds = 15, gap = false } = {}) {
  const limit = AbortSignal.timeout(seconds * 1000);
  let response;
  let text;
  try {
    response = await fetch(address(path), {
      method,
      headers: { ...headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) },
      body,
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
    text = await response.text();
  } catch (cause) {
    throw new Unreachable("The server cannot be reached.", { cause });
  }
  let answer = {};
  try { answer = text ? JSON.parse(text) : {}; } catch { /* a proxy's page */ }
  if (response.ok || (gap && response.status === 410)) return { answer, status: response.status };
  const refused = new Refused(response.status, answer, Number(response.headers.get("retry-after")) || 0);
  if (response.status === 401) whenRefused(refused);
  throw refused;
}

export const get = async (path, options) => (await ask("GET", path, options)).answer;

export const wish = (what) => ask("POST", "console/wish", {
  body: JSON.stringify(what), headers: { "Content-Type": "application/json" },
});

/** Revoke the tokens of a subject, or a key. */
export const revoke = (entry) => ask("POST", "v1/tokens/revoke", {
  body: JSON.stringify({ ...entry, reason: "disconnected in the console" }), headers: { "Content-Type": "application/json" },
});

/** Try a key. `""` is for a server that asks for none. */
export async function enter(candidate) {
  const before = key;
  key = candidate;
  try {
    const { answer } = await ask("POST", "console/session");
    open = answer.open;
    return answer;
  } catch (error) {
    key = before;
    throw error;
  }
}

export function leave() {
  key = "";
}

export function onRefused(then) {
  whenRefused = then;
}

/** The same request as a command; the key stays a variable. */
export function curl(method, path, { body, headers = {} } = {}) {
  const words = ["curl"];
  if (method !== "GET" && !(method === "POST" && body !== undefined)) words.push(`-X ${method}`);
  if (!open) words.push('-H "Authorization: Bearer $PUSHHUB_KEY"');
  for (const [name, value] of Object.entries(headers)) words.push(`-H ${quote(`${name}: ${value}`)}`);
  if (body !== undefined) words.push(`--data-binary ${quote(body)}`);
  words.push(quote(address(path)));
  return words.join(" ");
}
