// A poller on Pollymer: it starts each request anew with the ETag of the last answer.
const { JSDOM } = require("jsdom");

const url = process.argv[2];
global.window = new JSDOM("", { url }).window;
const { default: Pollymer } = require("pollymer");

const headers = { Prefer: "wait=25" };
const request = new Pollymer.Request({ rawResponse: true, maxTries: -1, maxDelay: 20 });
const again = () => request.start("GET", url, headers);
request.on("finished", (code, body, got) => {
  if (code === 200) {
    const name = Object.keys(got).find((name) => name.toLowerCase() === "etag");
    headers["If-None-Match"] = got[name];
    console.log(body);
  } else if (code !== 304) {
    console.error(code, body);
  }
  again();
});
request.on("error", (reason) => console.error("error", reason));
again();
