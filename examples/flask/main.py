"""A shop's orders on Flask. One line in `change` makes the requests behind the hub's route wait."""

import os

from flask import Flask, abort, request
from waitress import serve

from pushhub_client import Client

app = Flask(__name__)
hub = Client(os.environ.get("CONTROL_URL", "http://127.0.0.1:5561"))
orders = {1: "received"}


@app.get("/orders/<int:id>")
def order(id: int):
    if id not in orders:
        abort(404)
    return {"id": id, "state": orders[id]}


@app.put("/orders/<int:id>")
def change(id: int):
    orders[id] = request.get_json()["state"]
    hub.publish(f"orders:{id}", {"state": orders[id]}, retry_seconds=2)  # after the commit
    return {"id": id, "state": orders[id]}


if __name__ == "__main__":
    serve(app, host="127.0.0.1", port=int(os.environ.get("ORIGIN_PORT", "8000")), threads=4)
