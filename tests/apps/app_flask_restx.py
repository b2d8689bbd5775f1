"""A sample API of Flask-RESTX, with its Swagger UI, on Flask's own server."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import send_json
from tests.apps.own_client import pages

_PROJECT = """
from flask import Flask
from flask_restx import Api, Resource, fields

app = Flask(__name__)
api = Api(app, title="To do")
todo = api.model("Todo", {"id": fields.Integer, "task": fields.String})
todos = [{"id": 1, "task": "build an API"}]

@api.route("/todos")
class Todos(Resource):
    @api.marshal_list_with(todo)
    def get(self):
        return todos

    @api.expect(todo)
    @api.marshal_with(todo, code=201)
    def post(self):
        todos.append({"id": len(todos) + 1, "task": api.payload["task"]})
        return todos[-1], 201
"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    (place.folder / "sample.py").write_text(_PROJECT)
    flask = place.command("flask")
    with place.running(flask, "--app", "sample:app", "run", "--port", str(place.port)):
        yield


def create(place: Place) -> None:
    send_json("POST", f"{place.url}/todos", {"task": "push it"})


_SHOWS = """
    await page.click(".opblock-tag");
    await page.click("#operations-default-get_todos .opblock-summary");
    await page.click("#operations-default-get_todos .try-out__btn");
    await page.click("#operations-default-get_todos .execute");
    return page.locator("#operations-default-get_todos .live-responses-table .microlight")
        .first().innerText();
"""
_CHANGES = """
    await page.click(".opblock-tag");
    const operation = page.locator("#operations-default-post_todos");
    await operation.locator(".opblock-summary").click();
    await operation.locator(".try-out__btn").click();
    await operation.locator("textarea").first().fill('{"task": "try it out"}');
    await operation.locator(".execute").click();
    await operation.locator(".live-responses-table", { hasText: "201" }).waitFor();
"""


APPLICATION = Application(
    name="flask_restx",
    title="Flask-RESTX",
    server="flask-restx 1.3 of PyPI, on Flask's own server",
    part="apps",
    start=start,
    polls=(Poll("/todos", create),),
    routes="""\
[[routes]]
path = "/todos"
step = "poll"
""",
    noticed="items of the list",
    remark="it has no ETag, so clients get one that pushhub generates",
    own_client=pages("its Swagger UI", "/", _SHOWS, changes=_CHANGES),
    paths=("/", "/swagger.json", "/todos", "/nothing", "/swaggerui/swagger-ui.css"),
)
