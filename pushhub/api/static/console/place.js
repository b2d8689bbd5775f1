// Addresses of views. Filter and page are part of them, so that a reload, a bookmark and Back keep both.

/** `place("channels", { prefix: "a" })` → `#/channels?prefix=a`; empty members are left out. */
export function place(view, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  return `#/${view}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

/** Change the address of the present view without a new entry of the history. */
export function amend(address, state = null) {
  history.replaceState(state, "", address);
}

/** Go to another page of the same view: Back returns from there. */
export function advance(address, state = null) {
  history.pushState(state, "", address);
}
