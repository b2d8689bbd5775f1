// GET /orders with the usual CORS of Express; POST /version sets what it answers.
const express = require("express");
const cors = require("cors");

const app = express();
let version = 1;
app.set("etag", false);
app.use(cors({ origin: [process.argv[2]] }));
app.get("/orders", (request, response) => response.json({ n: version }));
app.post("/version/:n", (request, response) => {
  version = Number(request.params.n);
  response.end();
});
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
