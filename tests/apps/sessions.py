"""Users of Django's sessions: each logs in with a browser's cookies, reads and writes."""

from __future__ import annotations

import json
import urllib.request
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.apps.client import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping


class Session:
    """One user who is logged in."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._jar = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._jar))
        self._ask("/auth/login/")
        form = {"username": name, "password": f"secret-of-{name}"}
        form["csrfmiddlewaretoken"] = self.cookies["csrftoken"]
        self._ask("/auth/login/", urlencode(form).encode(), {})
        assert "sessionid" in self.cookies, f"{name} is not logged in"

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self._jar}

    def cookie(self, **others: str) -> str:
        """The field of a browser that has more cookies, or other values."""
        return "; ".join(f"{name}={value}" for name, value in (self.cookies | others).items())

    def create(self, text: str) -> None:
        """An order of this user's own, which needs the CSRF token."""
        headers = {"Content-Type": "application/json", "X-CSRFToken": self.cookies["csrftoken"]}
        self._ask("/mine/", json.dumps({"text": text}).encode(), headers)

    def _ask(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        request = urllib.request.Request(self._url + path, body, dict(headers or {}))
        self._opener.open(request, timeout=SECONDS).read()
