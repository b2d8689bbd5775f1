"""A client for the conformance test, on the standard library: it conforms, or has one fault.

`python reader.py [FAULT]`. Feeds are read with GET, many channels with POST /v1/poll.
"""

import codecs
import http.client
import json
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
MODE = os.environ["CONFORMANCE_MODE"]
URL = os.environ["CONFORMANCE_URL"]
CHANNELS: dict[str, str] = json.loads(os.environ["CONFORMANCE_CHANNELS"])
WAIT = int(os.environ["CONFORMANCE_WAIT"])
EVERY = float(os.environ["CONFORMANCE_EVERY"])
TOKEN_FILE = os.environ["CONFORMANCE_TOKEN_FILE"]
KNOWN = {"offset", "cursor", "id", "type", "time", "content_type", "encoding", "epoch", "data"}

stopped = threading.Event()
current: list[http.client.HTTPConnection] = []


class Failure(Exception):
    """A response that is no success, or none at all."""

    def __init__(self, status: int = 0, after: float = 0, channel: str = "") -> None:
        super().__init__(status)
        self.status, self.after, self.channel = status, after, channel


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def token() -> str:
    return Path(TOKEN_FILE).read_text() if TOKEN_FILE else ""


def send(
    method: str, url: str, headers: dict[str, str], body: bytes | None, bearer: str
) -> http.client.HTTPResponse:
    """One request, with its redirects."""
    for _ in range(5):
        parts = urlsplit(url)
        seconds = None if FAULT == "no-timeout" else WAIT + 10
        connection = http.client.HTTPConnection(parts.netloc, timeout=seconds)
        current[:] = [connection]
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        sent = headers | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        if FAULT == "token-in-url":
            target += ("&" if parts.query else "?") + f"token={bearer}"
        connection.request(method, target, body, sent)
        response = connection.getresponse()
        if response.status not in (307, 308) or FAULT == "no-redirect":
            return response
        url = urljoin(url, response.headers["Location"])
        headers = {} if FAULT == "bare-redirect" else headers
        if urlsplit(url).netloc != parts.netloc and FAULT != "keeps-credentials":
            bearer = ""
    raise Failure


def fetch(
    method: str, url: str, headers: dict[str, str], body: bytes | None = None
) -> http.client.HTTPResponse:
    """A response that is a success, 304, 404 or 410."""
    try:
        response = send(method, url, headers, body, bearer)
    except (OSError, http.client.HTTPException) as error:
        raise Failure from error
    if response.status in (200, 304, 410) or (response.status == 404 and MODE == "value"):
        return response
    after = float(response.headers.get("Retry-After") or 0)
    channel = document_of(response).get("channel", "") if response.status == 403 else ""
    raise Failure(response.status, 0 if FAULT == "ignores-retry-after" else after, channel)


def document_of(response: http.client.HTTPResponse) -> dict[str, Any]:
    try:
        found = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Failure from error
    if not isinstance(found, dict):
        raise Failure
    return found


def pause(seconds: float) -> None:
    stopped.wait(seconds)


quick = 0


def after_wait(began: float) -> None:
    """A pause, when waits end within a second one after another."""
    global quick
    quick = quick + 1 if time.monotonic() - began < 1 else 0
    if quick > 2 and FAULT != "spins":
        pause(min(5, 2.0 ** (quick - 3)) * random.random())


# -- channels --------------------------------------------------------------------------------------

cursors = dict(CHANNELS)
if FAULT in ("now-instead", "earliest-instead"):
    cursors = dict.fromkeys(CHANNELS, FAULT.removesuffix("-instead"))
printed: dict[str, str] = {}
offsets = {c: int(at.rpartition("-")[2]) for c, at in CHANNELS.items() if "-" in at}


def event(channel: str, found: dict[str, Any]) -> None:
    if FAULT == "strict" and found.keys() - KNOWN - {"channel"}:
        raise SystemExit("an unknown member")
    offset = int(found["cursor"].rpartition("-")[2])
    known = printed.get(channel) == found["cursor"]
    if FAULT == "offsets-only":
        known = offset <= offsets.get(channel, 0)
    if not known or FAULT == "no-dedupe":
        data = str(found["data"]) if FAULT == "text-only" else found["data"]
        say(type="event", channel=channel, cursor=found["cursor"], data=data)
    printed[channel], offsets[channel] = found["cursor"], offset
    if FAULT != "old-cursor":
        cursors[channel] = found["cursor"]


def gap(channel: str, found: dict[str, Any]) -> None:
    if FAULT != "silent-gap":
        say(type="gap", channel=channel, reason=found["reason"])
    cursors[channel] = found["oldest"]


def rest(
    response: http.client.HTTPResponse, page: dict[str, Any], events: bool, began: float
) -> None:
    if FAULT == "pause-after-page":
        pause(10)
    if FAULT == "empty-is-failure" and not events:
        raise Failure
    if page.get("retry_ms") and FAULT != "ignores-retry-ms":
        pause(page["retry_ms"] / 1000)
    elif "Preference-Applied" in response.headers and not events:
        after_wait(began)
    elif not events and FAULT != "no-pause":
        pause(5)


def read_feed(channel: str) -> None:
    url = f"{URL}/v1/channels/{quote(channel, safe='/' if FAULT == 'raw-name' else '')}/events"
    headers = {} if FAULT == "no-wait" else {"Prefer": f"wait={WAIT}"}
    began = time.monotonic()
    response = fetch("GET", f"{url}?since={cursors[channel]}", headers)
    page = document_of(response)
    if response.status == 410:
        gap(channel, page)
        return
    if "events" not in page:
        raise Failure
    for found in page["events"]:
        event(channel, found)
    if FAULT != "old-cursor":
        cursors[channel] = page["cursor"]
    rest(response, page, bool(page["events"]), began)


def read_many() -> None:
    wanted = dict([*cursors.items()][:1]) if FAULT == "first-channel" else cursors
    body = json.dumps({"channels": wanted, "wait": WAIT}).encode()
    began = time.monotonic()
    response = fetch("POST", f"{URL}/v1/poll", {"Content-Type": "application/json"}, body)
    page = document_of(response)
    for channel, found in page.get("gaps", {}).items():
        gap(channel, found)
    for found in page["events"]:
        event(found["channel"], found)
    if FAULT == "replaces-cursors":
        cursors.clear()
    cursors.update(page["cursors"])
    rest(response, page, bool(page["events"]), began)


def read_stream(channel: str) -> None:
    headers = {"Accept": "text/event-stream"}
    if "-" in cursors[channel] and FAULT != "no-last-id":
        headers["Last-Event-ID"] = cursors[channel]
    since = CHANNELS[channel]
    url = f"{URL}/v1/channels/{quote(channel, safe='')}/events?since={since}&envelope=true"
    retry = 0.0
    try:
        response = fetch("GET", url, headers)
        kind = response.headers.get("Content-Type", "")
        if not kind.startswith("text/event-stream") and FAULT != "any-200":
            raise Failure
        for message in messages(response):
            if FAULT != "ids-with-data" or "data" in message:
                cursors[channel] = message.get("id", cursors[channel])
            retry = float(message.get("retry", retry))
            if "data" not in message:
                continue
            data = json.loads(message["data"])
            if message.get("event") == "gap":
                gap(channel, data)
            elif message.get("event") == "error":
                raise Failure(data["status"])
            else:
                event(channel, data)
    except (OSError, http.client.HTTPException) as error:
        raise Failure from error
    if FAULT != "no-pause":
        pause(retry / 1000)


def messages(response: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    while chunk := response.read1(65_536):
        text += chunk.decode(errors="replace") if FAULT == "each-chunk" else decoder.decode(chunk)
        *complete, text = text.split("\n\n")
        if FAULT == "early-id" and text.startswith("id: ") and text.endswith("\n"):
            yield {"id": text[4:].strip()}
        for block in complete:
            message: dict[str, str] = {}
            for line in block.split("\n"):
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name:
                    message[name] = f"{message['data']}\n{value}" if name in message else value
            yield message


# -- values ----------------------------------------------------------------------------------------

tag: str | None = None


def read_value() -> None:
    global tag
    headers = {"Prefer": f"wait={WAIT}"} | ({"If-None-Match": tag} if tag else {})
    began = time.monotonic()
    response = fetch("GET", URL, headers)
    if response.status == 200:
        tag = None if FAULT == "no-etag" else response.headers["ETag"]
        say(type="value", data=json.loads(response.read()))
    elif response.status == 404 and FAULT != "keeps-etag":
        tag = None
    elif response.status == 304 and FAULT == "304-is-failure":
        raise Failure
    if interval := response.headers.get("X-Poll-Interval"):
        pause(EVERY if FAULT == "ignores-interval" else float(interval))
    elif "Preference-Applied" not in response.headers:
        pause(0.2 if FAULT == "no-pause" else EVERY)
    elif response.status == 304:
        after_wait(began)


# -- again and again -------------------------------------------------------------------------------


def cancelled() -> None:
    """The end of standard input: end the request and the pauses."""
    # Without the buffer of `sys.stdin`, whose lock would be held when the process ends by itself.
    while os.read(0, 4096):
        pass
    stopped.set()
    for connection in current:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)


def read() -> None:
    if MODE == "value":
        read_value()
    elif MODE == "many":
        read_many()
    elif MODE == "stream":
        read_stream(next(iter(CHANNELS)))
    else:
        read_feed(next(iter(CHANNELS)))


bearer = token()


def main() -> None:
    global bearer
    if FAULT == "unsupported":
        say(type="unsupported")
        return
    if FAULT != "ignores-end":
        threading.Thread(target=cancelled, daemon=True).start()
    failures = 0
    renewed = False
    while not stopped.is_set():
        try:
            read()
        except Failure as failure:
            if stopped.is_set():
                return
            if FAULT == "gives-up":
                raise SystemExit("a failure") from None
            if failure.status == 401 and FAULT != "one-token" and not renewed:
                bearer = token()
                renewed = FAULT != "no-pause-401"
                continue
            if failure.status == 403 and FAULT != "repeats-403":
                say(type="error", status=403, channel=failure.channel)
                cursors.pop(failure.channel, None)
                if not cursors or FAULT == "refusal-ends-all":
                    return
                continue
            failures += 1
            longest = min(60, 2 ** (failures - 1))
            seconds = max(failure.after, longest + random.random())
            seconds = {"no-backoff": 0.05, "no-jitter": max(failure.after, 0.5)}.get(FAULT, seconds)
            pause(seconds)
            if FAULT == "lost-cursor":
                cursors.update(dict.fromkeys(cursors, "now"))
        else:
            failures, renewed = 0, False


if __name__ == "__main__":
    main()
