"""The same to-do list, which tells pushhub of every change: one line, and two that it needs."""

import os
from contextlib import suppress

import requests
from flask import Flask, Response, abort, jsonify, request
from waitress import serve

app = Flask(__name__)
todos: dict[int, dict[str, object]] = {}
pushhub = os.environ.get("CONTROL_URL", "http://127.0.0.1:5561")


@app.get("/todos")
def read_all() -> Response:
    """Every to-do, with an ETag; 304 for who has it."""
    answer = jsonify(list(todos.values()))
    answer.add_etag()
    return answer.make_conditional(request)


@app.get("/todos/<int:number>")
def read(number: int) -> Response:
    """One to-do, likewise."""
    answer = jsonify(todos.get(number) or abort(404))
    answer.add_etag()
    return answer.make_conditional(request)


@app.post("/todos")
def add() -> tuple[Response, int]:
    """Another to-do."""
    number = max(todos, default=0) + 1
    todos[number] = {"id": number, "text": request.get_json()["text"], "done": False}
    changed(number)
    return jsonify(todos[number]), 201


@app.patch("/todos/<int:number>")
def change(number: int) -> Response:
    """Done, or another text."""
    todo = todos.get(number) or abort(404)
    todo.update(request.get_json())
    changed(number)
    return jsonify(todo)


def changed(number: int) -> None:
    """After every write."""
    app.logger.info("to-do %d has changed", number)
    with suppress(requests.RequestException):  # nobody's write may fail for this
        requests.post(f"{pushhub}/v1/notify", json={"resources": ["/todos*"]}, timeout=2)


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(os.environ.get("ORIGIN_PORT", "8000")), threads=8)
