// Elements, without a line of markup from data: text is text, whatever it looks like.

/** `h("p", { class: "note" }, "text", child)`; a property that is a function listens. */
export function h(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key in made && key !== "list" && key !== "form" && typeof value !== "string") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const $ = (id) => document.getElementById(id);

/** A command to copy. `text` may be changed by `set`. */
export function command(text, label = "The same as a command") {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "quiet small", click: () => copy(code, button) }, "Copy");
  const whole = h("div", { class: "line" },
    h("pre", { tabindex: "0", role: "region", "aria-label": label }, code), button);
  return { whole, set: (next) => { code.textContent = next; } };
}

async function copy(from, button) {
  try {
    await navigator.clipboard.writeText(from.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(from);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

/** Say something to a screen reader, and nothing to the eye. */
export function say(text) {
  $("news").textContent = text;
}

/** Close the dialog as Cancel does: the view that it asked about is left. */
export function dismiss() {
  const dialog = $("dialog");
  if (dialog.open) dialog.close("");
}

/** Ask before something that cannot be undone; false if it was cancelled or the view was left. */
export function confirm(question, consequence, verb) {
  const dialog = $("dialog");
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" },
      h("h2", { id: "dialog-title" }, question),
      h("p", {}, consequence),
      h("div", { class: "row" },
        h("button", { value: "", autofocus: true, class: "quiet" }, "Cancel"),
        h("button", { value: "yes", class: "danger" }, verb)));
    dialog.replaceChildren(form);
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}
