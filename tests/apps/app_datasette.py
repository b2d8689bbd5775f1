"""Datasette: tables of SQLite as JSON, which its users poll."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.own_client import pages, text_of


@contextmanager
def start(place: Place) -> Iterator[None]:
    with closing(sqlite3.connect(place.folder / "shop.db")) as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at REAL)")
        database.executemany("INSERT INTO orders (at) VALUES (?)", [(n,) for n in range(5)])
        database.commit()
    command = place.command("datasette")
    with place.running(command, "serve", "shop.db", "--port", str(place.port)):
        yield


def insert(place: Place) -> None:
    with closing(sqlite3.connect(place.folder / "shop.db")) as database:
        database.execute("INSERT INTO orders (at) VALUES (?)", (time.time(),))
        database.commit()


APPLICATION = Application(
    name="datasette",
    title="Datasette",
    server="datasette 0.65 of PyPI",
    part="apps",
    start=start,
    polls=(Poll("/shop/orders.json?_shape=objects", insert),),
    routes="""\
[[routes]]
path = "/shop/*"
step = "poll"
ignore = ["query_ms"]
""",
    noticed="rows of the table",
    remark="each response has the time of its query, so without `ignore` each is new",
    own_client=pages("its page of a table", "/shop/orders", text_of("table.rows-and-columns")),
    paths=("/", "/shop", "/shop/orders", "/shop/orders.json", "/-/versions.json", "/nothing"),
    unstable=(r'"query_ms": [\d.e-]+', r"[\d.]+ms"),
    long_quiet=True,
)
