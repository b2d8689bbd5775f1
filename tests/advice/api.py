"""An API of an everyday kind for each path: with times, counters, random values and cookies."""

import gzip
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NUMBERS = itertools.count()
BEGUN = time.time()


@dataclass
class Everyday:
    """The API: its URL, the methods and paths of its requests, and a state that a test changes."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    state: dict[str, Any] = field(default_factory=dict)
    news: threading.Condition = field(default_factory=threading.Condition)

    def reached(self, count: int, line: str, seconds: float = 60) -> None:
        """Wait until so many requests with this line came."""
        with self.news:
            assert self.news.wait_for(lambda: self.requests.count(line) >= count, seconds)


def body(path: str, cookie: str, number: int, state: dict[str, Any]) -> tuple[Any, dict[str, str]]:
    now, headers = time.time(), dict[str, str]()
    match path:
        case "/status":
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
            return {
                "now": stamp,
                "uptime": now - BEGUN,
                "query_ms": random.random() * 9,
                "requests": number,
                "trace": f"{random.getrandbits(64):016x}f1",
                "ago": f"{number} sec ago",
                "rows": state.get("rows", [1, 2]),
            }, headers
        case "/vector":
            values = [{"value": [now, "3"]}, {"value": [now, state.get("value", "7")]}]
            return {"data": {"result": values}}, headers
        case "/ticker":
            return {"price": number * number, "rev": 7}, headers
        case "/versions":
            # Changes with each second response, and each has another time.
            rev = number // 4
            return {"took": random.random(), "rows": [rev], "rev": rev, "version": "1.2.3"}, headers
        case "/services":
            return {f"s{n}": {"age": now - BEGUN + n, "state": "up"} for n in range(4)}, headers
        case "/page":
            headers["Content-Type"] = "text/html"
            nonce = f"{random.getrandbits(128):032x}"
            return f"<meta name=csrf content='{nonce}'><p>seen {number} sec ago</p>", headers
        case "/prose":
            headers["Content-Type"] = "text/plain"
            return "".join(random.choice("abc ") for _ in range(100)), headers
        case "/tagged" | "/vary":
            headers |= {"ETag": '"7"'} if path == "/tagged" else {"Vary": "*"}
            return [1], headers
        case "/random-tag":
            return [1], {"ETag": f'"{number}"'}
        case "/own-tag":
            return {"at": number * number}, {"ETag": '"same"'}
        case "/members":
            headers |= {"Set-Cookie": f"csrftoken={number}; Path=/", "Vary": "Cookie"}
            hello = "hallo" if "lang=de" in cookie else "hello"
            return {"hello": hello, "sid": "sessionid=1" in cookie}, headers
        case "/php":
            name = "prefs[lang]" if state.get("plain", True) else "préfs"
            headers |= {"Set-Cookie": f"{name}={number}; Path=/"}
            return {"user": "user[id]=1" in cookie}, headers
        case "/open":
            return [1], {"Set-Cookie": f"sessionid={number}"}
        case "/private":
            return [1], {"Cache-Control": "private, no-store"}
        case "/basket":
            return [], headers
        case "/events":
            return {"items": [], "next": 17}, headers
        case "/limited":
            reset = str(int(now) + 3600)
            return [1], {"X-RateLimit-Remaining": "1200", "X-RateLimit-Reset": reset}
        case "/orders/17" | "/orders/18":
            return {"state": "new"}, headers
        case "/large":
            return "x" * 300_000, headers
    raise KeyError(path)


REFUSALS: dict[str, tuple[int, dict[str, str]]] = {
    "/login": (401, {"WWW-Authenticate": 'Basic realm="x"'}),
    "/moved": (302, {"Location": "/login?next=/"}),
    "/written": (405, {"Allow": "POST"}),
    "/busy": (429, {"Retry-After": "7"}),
    "/broken": (500, {}),
    "/empty": (204, {}),
    "/missing": (404, {}),
}


@contextmanager
def everyday() -> Iterator[Everyday]:
    """The API on a free port of this machine."""
    api = Everyday()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            path = self.path.partition("?")[0]
            with api.news:
                api.requests.append(f"{self.command} {path}")
                api.news.notify_all()
            if path == "/stream":
                self.stream()
                return
            if path in REFUSALS:
                status, headers = REFUSALS[path]
                content = b""
            else:
                status, (root, headers) = 200, self.found(path)
                text = root if isinstance(root, str) else json.dumps(root)
                content = text.encode()
            if "gzip" in self.headers.get("accept-encoding", "") and content:
                # As Django pads, at random.
                headers["Content-Encoding"] = "gzip"
                content = gzip.compress(content, mtime=random.getrandbits(31))
            tag = headers.get("ETag")
            if tag and self.headers.get("if-none-match") == tag:
                status, content = 304, b""
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def found(self, path: str) -> tuple[Any, dict[str, str]]:
            return body(path, self.headers.get("cookie", ""), next(NUMBERS), api.state)

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"[1")
            self.close_connection = True
            ended.wait(20)

        do_GET = do_POST = do_HEAD = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    ended = threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield api
        finally:
            ended.set()
            server.shutdown()
            thread.join()
