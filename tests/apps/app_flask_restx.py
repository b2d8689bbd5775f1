"""A sample API of Flask-RESTX, with its Swagger UI, on Flask's own server."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import send_json

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
    paths=("/", "/swagger.json", "/todos", "/nothing", "/swaggerui/swagger-ui.css"),
)
