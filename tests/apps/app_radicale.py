"""Radicale: calendars over CalDAV."""

import itertools
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

from tests.apps.application import Application, Place, Poll
from tests.apps.client import ask
from tests.apps.own_client import pages

_numbers = itertools.count(1)
_AUTH = {"Authorization": "Basic " + b64encode(b"ann:any").decode()}
_CALENDAR = """\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:sample\r
BEGIN:VEVENT\r
UID:{number}\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260102T000000Z\r
SUMMARY:Meeting {number}\r
END:VEVENT\r
END:VCALENDAR\r
"""
_CTAG = b"""<?xml version="1.0"?>
<propfind xmlns="DAV:" xmlns:c="http://calendarserver.org/ns/"><prop><c:getctag/></prop></propfind>"""


@contextmanager
def start(place: Place) -> Iterator[None]:
    with place.running(
        *(place.command("radicale"), "--hosts", f"127.0.0.1:{place.port}"),
        *("--auth-type", "none", "--storage-filesystem-folder", str(place.folder / "data")),
    ):
        ask("MKCALENDAR", f"{place.url}/ann/work/", headers=_AUTH)
        put(place)
        yield


def put(place: Place) -> None:
    number = next(_numbers)
    body = _CALENDAR.format(number=number).encode()
    headers = _AUTH | {"Content-Type": "text/calendar"}
    ask("PUT", f"{place.url}/ann/work/{number}.ics", body, headers)


# The page first tries to log in without a name, and shows its form again when that is refused,
# which may be after the form was sent.
_LOGIN = """
    const calendar = page.locator("#collectionsscene article:not(.hidden)");
    const soon = { timeout: 5000 };
    for (let tries = 0; tries < 6 && !(await calendar.isVisible()); tries++) {
        try {
            await page.fill("#loginscene [data-name=user]", "ann", soon);
            await page.fill("#loginscene [data-name=password]", "any", soon);
            await page.click("#loginscene form[data-name=form] button", soon);
            await calendar.waitFor(soon);
        } catch {}
    }
    await calendar.waitFor(soon);
"""
_SHOWS = f"{_LOGIN} return calendar.innerText();"


APPLICATION = Application(
    name="radicale",
    title="Radicale",
    server="Radicale 3.9 of PyPI",
    part="apps",
    start=start,
    polls=(
        Poll("/ann/work/", put, headers=_AUTH),
        Poll(
            "/ann/work/",
            put,
            method="PROPFIND",
            headers=_AUTH | {"Depth": "0", "Content-Type": "application/xml"},
            body=_CTAG,
            name="propfind",
        ),
    ),
    routes="""\
[[routes]]
path = "/*"
step = "poll"
methods = ["GET", "PROPFIND", "REPORT"]
""",
    noticed="items of the calendar, by its ETag (GET) or its CTag (`PROPFIND`)",
    remark="users do not share: the requests have their `Authorization`",
    own_client=pages("its page of collections", "/.web/", _SHOWS),
    paths=("/", "/.web/", "/ann/work/", "/nobody/work/"),
)
