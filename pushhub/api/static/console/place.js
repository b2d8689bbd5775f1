// Addresses of views. Filter, page and order are part of them, so that a reload, a bookmark and Back keep them.

/** `place("channels", { prefix: "a" })` → `#/channels?prefix=a`; empty members are left out. */
export function place(view, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  return `#/${view}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

const parsed = (address) => {
  const [path, query = ""] = address.split("?", 2);
  return [path || "#/overview", new URLSearchParams(query)];
};

const written = (path, query) => (query.size ? `${path}?${query}` : path);

/** An address of the present view, with the orders of its tables. */
export function ordered(address) {
  const [path, query] = parsed(address);
  for (const one of parsed(location.hash)[1].getAll("sort")) query.append("sort", one);
  return written(path, query);
}

/** Change the address of the present view without a new entry of the history. */
export function amend(address, state = null) {
  history.replaceState(state, "", ordered(address));
}

/** Go to another page of the same view: Back returns from there. */
export function advance(address, state = null) {
  history.pushState(state, "", ordered(address));
}

/** The order of a table in the address, as [column, direction]; [] without one. `sort=TABLE.COLUMN.down`. */
export function order(table) {
  const found = parsed(location.hash)[1].getAll("sort").find((one) => one.startsWith(`${table}.`));
  return found ? found.split(".").slice(1) : [];
}

/** Put the order of a table into the address; without a direction, take it out. */
export function setOrder(table, column, direction) {
  const [path, query] = parsed(location.hash);
  const others = query.getAll("sort").filter((one) => !one.startsWith(`${table}.`));
  query.delete("sort");
  for (const one of others) query.append("sort", one);
  if (direction) query.append("sort", `${table}.${column}.${direction}`);
  history.replaceState(history.state, "", written(path, query));
}
