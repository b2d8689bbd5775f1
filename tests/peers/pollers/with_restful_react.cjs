// restful-react's Poll as its documentation has it: it knows no ETag, but sends the index of the last
// answer with its `Prefer: wait`.
const { JSDOM } = require("jsdom");

const url = new URL(process.argv[2]);
const dom = new JSDOM('<div id="app"></div>', { url: url.href, pretendToBeVisual: true });
for (const name of ["window", "document", "navigator"]) {
  Object.defineProperty(global, name, { value: dom.window[name], configurable: true });
}
process.env.NODE_ENV = "production";
const React = require("react");
const ReactDOM = require("react-dom");
const { Poll } = require("restful-react");

let shown = null;
const show = (data, { error }) => {
  const text = data === null ? null : JSON.stringify(data);
  if (text !== null && text !== shown) console.log((shown = text));
  if (error) console.error(error.message);
  return null;
};
const props = { base: url.origin, path: url.pathname, wait: 25, interval: Number(process.argv[3]) };
ReactDOM.render(
  React.createElement(Poll, props, show),
  dom.window.document.getElementById("app"),
);
