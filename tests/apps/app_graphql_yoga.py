"""GraphQL Yoga: a sample schema; queries by GET, and by POST as most clients send them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from tests import outside
from tests.apps.application import Application, Place, Poll, node
from tests.apps.client import send_json
from tests.apps.own_client import OwnClient, Visit

_PROJECT = """
const { createServer } = require("node:http");
const { createSchema, createYoga } = require("graphql-yoga");

const orders = [{ id: 1, text: "milk" }];
const yoga = createYoga({
  schema: createSchema({
    typeDefs: `
      type Order { id: Int!, text: String! }
      type Query { orders: [Order!]! }
      type Mutation { add(text: String!): Order! }
    `,
    resolvers: {
      Query: { orders: () => orders },
      Mutation: { add: (_, { text }) => {
        orders.push({ id: orders.length + 1, text });
        return orders.at(-1);
      } },
    },
  }),
});
createServer(yoga).listen(Number(process.argv[2]), "127.0.0.1");
"""
_QUERY = "{ orders { id text } }"


@contextmanager
def start(place: Place) -> Iterator[None]:
    modules = outside.require("js-apps")
    (place.folder / "node_modules").symlink_to(modules)
    (place.folder / "sample.cjs").write_text(_PROJECT)
    with place.running(node(), "sample.cjs", str(place.port)):
        yield


def add(place: Place) -> None:
    document = {"query": 'mutation { add(text: "bread") { id } }'}
    assert send_json("POST", f"{place.url}/graphql", document)["data"]["add"]["id"]


_LOOK = """
const { buildClientSchema, getIntrospectionQuery, parse, printSchema, validate } =
  require("graphql");

const ask = async (query) => {
  const response = await fetch(process.argv[2] + "/graphql", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  return (await response.json()).data;
};
(async () => {
  const schema = buildClientSchema(await ask(getIntrospectionQuery()));
  const query = process.argv[3];
  console.log(printSchema(schema), validate(schema, parse(query)), await ask(query));
})();
"""


def _graphql(visit: Visit, query: str) -> str:
    (visit.place.folder / "client.cjs").write_text(_LOOK)
    return visit.program(node(), "client.cjs", visit.url, query)


def look(visit: Visit) -> str:
    return _graphql(visit, _QUERY)


def change(visit: Visit) -> None:
    _graphql(visit, 'mutation { add(text: "butter") { id } }')


APPLICATION = Application(
    name="graphql_yoga",
    title="GraphQL Yoga",
    server="graphql-yoga 5.24 of npm, on Node.js",
    part="js-apps",
    start=start,
    polls=(
        Poll(f"/graphql?query={quote(_QUERY)}", add, headers={"Accept": "application/json"}),
        Poll(
            "/graphql",
            add,
            method="POST",
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=json.dumps({"query": _QUERY}).encode(),
            name="post",
        ),
    ),
    routes="""\
[[routes]]
path = "/graphql"
step = "poll"
methods = ["GET", "POST"]
""",
    noticed="results of a query",
    remark="",
    own_client=OwnClient("graphql-js: introspection, queries and mutations", look, change),
    paths=("/graphql", f"/graphql?query={quote(_QUERY)}", "/graphql?query=%7Bnothing%7D", "/nope"),
)
