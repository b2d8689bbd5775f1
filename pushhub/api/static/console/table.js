// Tables that an operator can sort by each column. The order is part of the page's address.

import { h } from "./dom.js";
import { order, setOrder } from "./place.js";

const collator = new Intl.Collator("en", { numeric: true });
const ARIA = { up: "ascending", down: "descending" };

const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

/** A table that scrolls by itself, and can be reached by keyboard for it. */
export function table(label, heads) {
  return new Table(label, heads);
}

/** A cell with a number that is shown as a text: `value` is what the table sorts by. */
export const cell = (text, value) => h("td", { class: "number", "data-value": value }, text);

class Table {
  /** `heads`: names, or [name, kind]; the kinds "number" and "time" sort by value, "plain" does not sort. */
  constructor(label, heads) {
    this.name = slug(label);
    this.rows = []; // in the order of the view
    this.shown = "";
    this.columns = heads.map((one) => {
      const [text, kind] = Array.isArray(one) ? one : [one, ""];
      const column = { name: slug(text), kind, numeric: kind === "number" || kind === "time", head: h("th", { scope: "col", class: kind }) };
      column.head.append(kind === "plain" ? text : h("button", { type: "button", class: "sort", click: () => this.turn(column) }, text));
      return column;
    });
    this.body = h("tbody", {});
    this.whole = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label },
      h("table", {}, h("thead", {}, h("tr", {}, ...this.columns.map(({ head }) => head))), this.body));
  }

  /** The column and the direction of the address. */
  get order() {
    const [name, direction] = order(this.name);
    const column = this.columns.find((one) => one.name === name && one.kind !== "plain");
    return column && direction in ARIA ? [column, direction] : [null, ""];
  }

  /** Sort by a column, then the other way, then as the view has it. The first is what one looks for: most, or A to Z. */
  turn(column) {
    const steps = column.numeric ? ["down", "up", ""] : ["up", "down", ""];
    const [present, direction] = this.order;
    setOrder(this.name, column.name, present === column ? steps[steps.indexOf(direction) + 1] : steps[0]);
    this.arrange();
  }

  /** Show these rows; the order that the operator chose stays. */
  show(rows) {
    this.rows = rows;
    this.arrange();
  }

  arrange() {
    const [column, direction] = this.order;
    for (const one of this.columns) {
      if (one === column) one.head.setAttribute("aria-sort", ARIA[direction]);
      else one.head.removeAttribute("aria-sort");
    }
    const rows = column ? sorted(this.rows, this.columns.indexOf(column), column.numeric, direction) : this.rows;
    // Rows that stay where they are keep focus, selection and scroll position.
    const present = new Set(rows);
    for (const row of [...this.body.children]) if (!present.has(row)) row.remove();
    let at = this.body.firstElementChild;
    for (const row of rows) {
      if (row === at) at = at.nextElementSibling;
      else this.body.insertBefore(row, at);
    }
  }
}

/** Stable; what has no value is last in either direction. */
function sorted(rows, index, numeric, direction) {
  const sign = direction === "down" ? -1 : 1;
  const keyed = rows.map((row) => [key(row.cells[index], numeric), row]);
  return keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (numeric ? a - b : collator.compare(a, b));
  }).map(([, row]) => row);
}

function key(found, numeric) {
  const text = found?.dataset.value ?? found?.textContent ?? "";
  if (!numeric) return text || null;
  const value = text === "" ? NaN : Number(text);
  return Number.isNaN(value) ? null : value;
}
