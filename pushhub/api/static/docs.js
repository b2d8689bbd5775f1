// Draws the API's page from openapi.json. It reads what pushhub's own document uses of OpenAPI, and
// sets text as text, never as markup.
"use strict";

const METHODS = ["get", "post", "delete"];
const MOST_SHOWN = 100_000; // characters of an answer: a page with a megabyte in it scrolls badly

/** An element with attributes and children; strings become text. */
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null));
  return element;
}

/** Text in which `…` is code. */
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

const pretty = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
const nameOf = (ref) => ref.slice(ref.lastIndexOf("/") + 1);
const quote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

class Page {
  constructor(api) {
    this.api = api;
    this.operations = Object.entries(api.paths).flatMap(([path, item]) =>
      METHODS.filter((method) => item[method]).map((method) => ({
        ...item[method],
        path,
        method,
        parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map((p) => this.resolve(p)),
      })),
    );
  }

  resolve(thing) {
    if (!thing.$ref) return thing;
    return thing.$ref.split("/").slice(1).reduce((at, key) => at[key], this.api);
  }

  draw() {
    const { info, tags, components } = this.api;
    document.getElementById("intro").replaceChildren(
      ...info.description.split("\n\n").map((text) => h("p", {}, prose(text))),
      h("p", { class: "kind" }, `Version ${info.version}, ${info.license.name} licence. OpenAPI ${this.api.openapi}.`),
    );
    document.getElementById("operations").append(
      ...tags.flatMap((tag) => [
        h("h2", { class: "group", id: `group-${tag.name.toLowerCase()}` }, tag.name),
        h("p", { class: "group-about" }, tag.description),
        this.operations.filter((one) => one.tags[0] === tag.name).map((one) => this.operation(one)),
      ]).flat(),
      h("h2", { class: "group", id: "credentials" }, "Credentials"),
      h("p", { class: "group-about" }, "A server with --dev needs none, and reads of a public channel need none."),
      this.credentials(components.securitySchemes),
      h("h2", { class: "group", id: "schemas" }, "Schemas"),
      ...Object.entries(components.schemas).map(([name, schema]) => this.schema(name, schema)),
    );
    this.contents(tags, Object.keys(components.schemas));
  }

  contents(tags, schemas) {
    const list = (entries) => h("ul", {}, entries.map(([id, text]) => h("li", {}, h("a", { href: `#${id}` }, text))));
    const wide = matchMedia("(min-width: 52.01rem)");
    const details = h("details", { open: wide.matches },
      h("summary", {}, "Contents"),
      h("div", {},
        tags.map((tag) => [
          h("h2", {}, tag.name),
          list(this.operations.filter((one) => one.tags[0] === tag.name).map((one) => [one.operationId, one.summary])),
        ]),
        h("h2", {}, "More"),
        list([["credentials", "Credentials"]]),
        h("h2", {}, "Schemas"),
        list(schemas.map((name) => [`schema-${name}`, name])),
      ),
    );
    wide.addEventListener("change", () => { details.open = wide.matches; });
    const nav = document.getElementById("contents");
    nav.replaceChildren(details);
    // Marks what is being read, for the eye; a screen reader has the headings.
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of nav.querySelectorAll("a[aria-current]")) link.removeAttribute("aria-current");
        nav.querySelector(`a[href="#${entry.target.id}"]`)?.setAttribute("aria-current", "location");
      }
    }, { rootMargin: "-10% 0px -75% 0px" });
    for (const article of document.querySelectorAll("article[id]")) seen.observe(article);
  }

  operation(one) {
    const form = one.method === "get" && one.path !== "/" ? this.tryIt(one) : null;
    const line = copyable(() => this.curl(one, form ? form.values() : {}));
    form?.addEventListener("input", () => line.refresh());
    return h("article", { id: one.operationId },
      h("h3", {}, h("a", { href: `#${one.operationId}` }, one.summary)),
      h("p", { class: "address" }, h("span", { class: `method ${one.method}` }, one.method.toUpperCase()), " ", one.path),
      one.description ? h("p", {}, prose(one.description)) : null,
      one.parameters.length ? [h("h4", {}, "Parameters and headers"), this.parameters(one.parameters)] : null,
      one.requestBody ? [h("h4", {}, "Body"), this.content(one.requestBody.content)] : null,
      h("h4", {}, "Answers"),
      Object.entries(one.responses).map(([status, answer]) => this.answer(status, answer)),
      h("h4", {}, "With curl"),
      line,
      form,
    );
  }

  parameters(list) {
    return h("dl", { class: "fields" }, list.map((one) => h("div", {},
      h("dt", {}, one.name, h("small", {}, one.required ? `${one.in}, required` : one.in)),
      h("dd", {}, h("p", {}, prose(one.description)), this.bounds(one.schema)),
    )));
  }

  bounds(schema) {
    const words = [this.kind(schema)];
    if (schema.minimum !== undefined && schema.maximum !== undefined) words.push(`${schema.minimum} to ${schema.maximum}`);
    else if (schema.minimum !== undefined) words.push(`at least ${schema.minimum}`);
    if (schema.default !== undefined && schema.default !== "") words.push(["by default ", h("code", {}, String(schema.default))]);
    return h("p", { class: "kind" }, words.flatMap((word, index) => (index ? [", ", word] : [word])));
  }

  /** What a schema is, in a few words, with links to those that have a name. */
  kind(schema) {
    if (schema.$ref) {
      const name = nameOf(schema.$ref);
      return h("a", { href: `#schema-${name}` }, name);
    }
    if ("const" in schema) return ["always ", h("code", {}, JSON.stringify(schema.const))];
    if (schema.enum) return this.either(schema.enum.map((value) => h("code", {}, String(value))));
    if (schema.oneOf || schema.anyOf) return this.either((schema.oneOf ?? schema.anyOf).map((one) => this.kind(one)));
    if (schema.allOf) {
      const named = schema.allOf.filter((one) => one.$ref).map((one) => this.kind(one));
      const more = schema.allOf.some((one) => one.properties?.channel);
      return [...named.flatMap((one, index) => (index ? [" and ", one] : [one])), more ? " with its channel" : null];
    }
    if (schema.type === "array") return ["list of ", this.kind(schema.items)];
    if (schema.type === "object" && schema.additionalProperties?.$ref) return ["object: channel to ", this.kind(schema.additionalProperties)];
    if (Array.isArray(schema.type)) return schema.type.join(" or ");
    if (schema.format === "date-time") return "time";
    return schema.type ?? "anything";
  }

  either(kinds) {
    return kinds.flatMap((kind, index) => (index ? [" or ", kind] : [kind]));
  }

  content(content) {
    return Object.entries(content).map(([type, { schema, example }]) => {
      const shown = example ?? this.example(schema);
      const kind = !schema.type && !schema.$ref && !schema.allOf ? "anything" : this.kind(schema);
      return [
        h("p", { class: "kind" }, h("code", {}, type), ": ", kind),
        shown === undefined ? null : h("pre", { tabindex: 0 }, h("code", {}, pretty(shown))),
      ];
    });
  }

  example(schema) {
    return this.resolve(schema).examples?.[0];
  }

  answer(status, answer) {
    const good = Number(status) < 400;
    const problem = answer.content?.["application/problem+json"];
    const headers = Object.entries(answer.headers ?? {}).map(([name, header]) => ({ name, in: "header", ...this.resolve(header) }));
    return h("details", { open: status === "200" && !answer.content?.["text/html"] },
      h("summary", {}, h("span", { class: `status ${good ? "good" : "bad"}` }, status), " ", prose(answer.description)),
      h("div", {},
        headers.length ? this.parameters(headers) : null,
        problem ? this.problem(problem.schema) : answer.content ? this.content(answer.content) : h("p", { class: "kind" }, "No body."),
      ),
    );
  }

  problem(schema) {
    const [base, narrowed] = schema.allOf;
    const example = nameOf(base.$ref) === "GapProblem" ? this.example(base) : undefined;
    return [
      h("p", { class: "kind" }, h("code", {}, "application/problem+json"), ": ", this.kind(base), " of the type ",
        this.either(narrowed.properties.type.enum.map((type) => h("code", {}, type)))),
      example ? h("pre", { tabindex: 0 }, h("code", {}, pretty(example))) : null,
    ];
  }

  credentials(schemes) {
    const where = { bearer: "Authorization: Bearer …", basic: "Authorization: Basic …" };
    return h("dl", { class: "fields" }, Object.entries(schemes).map(([name, scheme]) => h("div", {},
      h("dt", {}, name, h("small", {}, where[name] ?? `${scheme.in}: ${scheme.name}`)),
      h("dd", {}, h("p", {}, prose(scheme.description))),
    )));
  }

  schema(name, schema) {
    const required = new Set(schema.required);
    const properties = Object.entries(schema.properties ?? {});
    return h("article", { id: `schema-${name}` },
      h("h3", {}, h("a", { href: `#schema-${name}` }, name)),
      schema.description ? h("p", {}, prose(schema.description)) : null,
      properties.length
        ? h("dl", { class: "fields" }, properties.map(([field, one]) => h("div", {},
          h("dt", {}, field, h("small", {}, required.has(field) ? "required" : "optional")),
          h("dd", {}, one.description ? h("p", {}, prose(one.description)) : null, this.bounds(one)),
        )))
        : h("p", { class: "kind" }, this.kind(schema), schema.pattern ? [", ", h("code", {}, schema.pattern)] : null),
      (schema.examples ?? []).map((example) => h("pre", { tabindex: 0 }, h("code", {}, pretty(example)))),
    );
  }

  /** The command for an operation, with what was typed into its form, else its examples. */
  curl(one, values = {}) {
    const words = ["curl", "-i"];
    if (one.method === "delete") words.push("-X", "DELETE");
    const url = new URL(this.address(one, values));
    for (const parameter of one.parameters) {
      const value = values[parameter.name];
      if (parameter.in === "header" && value) words.push("-H", quote(`${parameter.name}: ${value}`));
    }
    if (values.authorization) words.push("-H", quote(`Authorization: Bearer ${values.authorization}`));
    const body = one.requestBody?.content["application/json"];
    if (body) words.push("-d", quote(JSON.stringify(body.example ?? this.example(body.schema))));
    else if (one.method === "post") words.push("-X", "POST");
    words.push(quote(url.href));
    return words.join(" ");
  }

  address(one, values) {
    const path = one.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name] || "demo"));
    const url = new URL(path.slice(1), location.href);
    for (const parameter of one.parameters) {
      const value = values[parameter.name];
      if (parameter.in === "query" && value && !(parameter.name in PAIRED && values[PAIRED[parameter.name]])) {
        url.searchParams.set(parameter.name, value);
      }
    }
    return url.href;
  }

  tryIt(one) {
    // Three ways to say one thing would make a puzzle of a form.
    const fields = one.parameters.filter((p) => !["Wait", "wait", "ticket", "Last-Event-ID"].includes(p.name));
    const inputs = fields.map((parameter) => h("input", {
      name: parameter.name,
      placeholder: parameter.example ?? parameter.schema.default ?? "",
      value: parameter.required ? parameter.example : undefined,
      required: parameter.required,
      autocomplete: "off",
      spellcheck: "false",
    }));
    const open = one.security?.every((way) => Object.keys(way).length === 0);
    const token = open ? null : h("input", { name: "authorization", type: "password", autocomplete: "off", placeholder: "none with --dev" });
    const output = h("div", { class: "answer", "aria-live": "polite" });
    const run = h("button", { type: "submit" }, "Send");
    const stop = h("button", { type: "button", class: "quiet", disabled: true }, "Stop");
    const values = () => Object.fromEntries([...inputs, ...(token ? [token] : [])].map((input) => [input.name, input.value.trim()]));
    const form = h("form", { class: "try", "aria-label": `Try: ${one.summary}` },
      h("h4", {}, "Try it"),
      h("div", { class: "inputs" },
        fields.map((parameter, index) => h("label", {}, parameter.name, inputs[index])),
        token ? h("label", {}, "API key or token", token) : null,
      ),
      h("div", { class: "actions" }, run, stop),
      output,
    );
    form.values = values;
    let sending = null;
    stop.addEventListener("click", () => sending?.abort());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      sending = new AbortController();
      run.disabled = true;
      stop.disabled = false;
      output.replaceChildren(h("p", {}, "Sent; waiting for the response…"));
      try {
        output.replaceChildren(...await this.send(one, values(), sending.signal));
      } catch (error) {
        const text = error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}.`;
        output.replaceChildren(h("p", { class: "bad" }, text));
      }
      run.disabled = false;
      stop.disabled = true;
    });
    return form;
  }

  async send(one, values, signal) {
    const headers = new Headers();
    for (const parameter of one.parameters) {
      if (parameter.in === "header" && values[parameter.name]) headers.set(parameter.name, values[parameter.name]);
    }
    if (values.authorization) headers.set("Authorization", `Bearer ${values.authorization}`);
    const begun = performance.now();
    const response = await fetch(this.address(one, values), { headers, signal, cache: "no-store", credentials: "same-origin" });
    const text = await response.text();
    const took = Math.round(performance.now() - begun);
    let shown = text;
    if (response.headers.get("content-type")?.includes("json")) {
      try { shown = pretty(JSON.parse(text)); } catch { /* shown as it came */ }
    }
    const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    return [
      h("p", {}, h("strong", {}, `${response.status} ${response.statusText}`), ` after ${took} ms`),
      h("pre", { tabindex: 0 }, h("code", {}, lines)),
      h("pre", { tabindex: 0 }, h("code", {}, shown.slice(0, MOST_SHOWN) || "(no body)")),
    ];
  }
}

// `?wait=` says what `Prefer` says.
const PAIRED = { wait: "Prefer" };

/** A command with a button that copies it. */
function copyable(text) {
  const code = h("code", {}, text());
  const button = h("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  const line = h("div", { class: "line" }, h("pre", { tabindex: 0 }, code), button);
  line.refresh = () => { code.textContent = text(); };
  return line;
}

async function start() {
  const intro = document.getElementById("intro");
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`the server returned ${response.status}`);
    new Page(await response.json()).draw();
  } catch (error) {
    intro.replaceChildren(h("p", { class: "bad", role: "alert" }, `openapi.json could not be shown: ${error.message}. Reload the page to try again.`));
    return;
  }
  // The target of a deep link did not exist when the browser looked for it.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

start();
