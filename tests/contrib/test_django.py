"""pushhub.contrib.django in a project of one file: its settings, its commits, its routes."""

import datetime
import io
import logging
import re
from asyncio import to_thread
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path, re_path

from pushhub.contrib.django import publish, views, waits
from pushhub.contrib.django.configuration import Configuration
from pushhub.contrib.django.waiting import waiting_routes
from pushhub.settings import load
from tests.ports import free_port
from tests.serving import Server, serve

KEY = "a key of thirty-two bytes or more"
TWO = {"READ": f"{__name__}.readable", "TOKEN_KEY": KEY}


def readable(request: Any) -> list[str]:
    return [] if request.user.is_anonymous else [f"orders:{request.user.pk}"]


@waits("orders:{id}")
def order(request: Any, id: int) -> Any:
    return HttpResponse(str(id))


def about(request: Any) -> Any:
    return HttpResponse("A shop.")


shop = [path("orders/<int:id>/", order), path("about", about)]
urlpatterns = [path("<slug:shop>/", include(shop))]


@pytest.fixture
def hub() -> Iterator[Server]:
    with serve() as server, override_settings(PUSHHUB={"URL": f"http://127.0.0.1:{server.port}"}):
        yield server


async def feed(hub: Server, channel: str) -> list[Any]:
    answer = await hub.get(f"/v1/channels/{channel}/events?since=earliest")
    return [(event.get("type"), event["data"]) for event in answer.json()["events"]]


# -- publish -------------------------------------------------------------------


def commit(channel: str, *states: str, fails: bool = False) -> None:
    """One transaction, in a thread: Django's database is not for the event loop."""
    with transaction.atomic():
        for state in states:
            publish(channel, {"state": state})
        if fails:
            raise KeyError(channel)


async def test_events_come_with_the_commit_in_order(hub: Server) -> None:
    with pytest.raises(KeyError):
        await to_thread(commit, "a", "lost", fails=True)
    await to_thread(commit, "a", "sent", "paid")
    assert await feed(hub, "a") == [(None, {"state": "sent"}), (None, {"state": "paid"})]


async def test_data_is_what_djangos_encoder_makes_of_it(hub: Server) -> None:
    day = datetime.date(2026, 11, 30)
    await to_thread(publish, "a", {"total": Decimal("1.50"), "day": day}, type="paid")
    assert await feed(hub, "a") == [("paid", {"total": "1.50", "day": "2026-11-30"})]
    with pytest.raises(TypeError):
        await to_thread(publish, "a", object())


def test_a_hub_that_is_down_fails_no_commit(caplog: pytest.LogCaptureFixture) -> None:
    unused = {"URL": f"http://127.0.0.1:{free_port()}"}
    with override_settings(PUSHHUB=unused), caplog.at_level(logging.ERROR):
        for _ in range(3):
            commit("a", "sent")
    (record,) = [each for each in caplog.records if each.name == "pushhub.contrib.django"]
    assert "The event for the channel 'a' was not published: " in record.getMessage()


# -- routes --------------------------------------------------------------------


def printed(**changes: Any) -> str:
    with override_settings(**changes):
        out = io.StringIO()
        call_command("pushhub_routes", stdout=out)
        return out.getvalue()


def test_the_routes_of_views_that_wait() -> None:
    assert printed() == (
        "[[routes]]\n"
        'path = "/{shop}/orders/{id}/"\n'
        'step = "notify"\n'
        'channel = "orders:{id}"\n'
        'identity = ["authorization", "cookie:sessionid"]\n'
    )
    middleware = [
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ]
    text = printed(MIDDLEWARE=middleware, SESSION_COOKIE_NAME="sid")
    assert 'identity = ["authorization", "cookie:sid", "cookie:django_language"]\n' in text
    assert 'drop_set_cookie = ["csrftoken"]\n' in text


def test_the_hub_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "pushhub.toml"
    file.write_text('origin = "http://127.0.0.1:8000"\n' + printed())
    (route,) = load(environ={}, file=file).settings.routes
    assert (route.path, route.channel) == ("/{shop}/orders/{id}/", "orders:{id}")


def test_a_file_without_a_route_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "pushhub.toml"
    file.write_text(printed())
    call_command("pushhub_routes", check=file)
    file.write_text(printed().replace("{id}", "{number}"))
    with pytest.raises(CommandError, match=r"has no route for /\{shop\}/orders/\{id\}/"):
        call_command("pushhub_routes", check=file)


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        (re_path(r"^orders/(?P<id>\d+)$", order), "Give it a path"),
        (re_path("^shop/", include([path("<int:id>", order)])), "Give it a path"),
        (path("<path:id>", order), "is one segment"),
        (path("<int:number>", order), "names 'id', which its path '/<int:number>' lacks"),
    ],
)
def test_a_path_that_no_route_can_name(pattern: Any, sentence: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=sentence):
        list(waiting_routes([pattern]))


# -- the page ------------------------------------------------------------------


def test_the_page_has_each_key_with_its_default() -> None:
    page = (Path(__file__).parents[2] / "docs/frameworks.md").read_text()
    table = page.partition("| key of `PUSHHUB` |")[2].partition("\n\n")[0]
    told = {}
    for line in table.splitlines()[2:]:
        names, default = line.split("|")[1:3]
        for name in re.findall(r"`(\w+)`", names):
            told[name] = default.strip().strip("`")
    own = {
        one.name.upper(): str(one.default).replace("None", "none") for one in fields(Configuration)
    }
    assert told == own


# -- who may read ----------------------------------------------------------------


class User:
    pk = 7
    is_anonymous = False
    is_authenticated = True


def test_a_token_by_session() -> None:
    request = RequestFactory().get("/push/token")
    request.user = User()
    with override_settings(PUSHHUB={**TWO, "TOKEN_SECONDS": 60, "TOKEN_AUDIENCE": "push"}):
        response = views.token(request)
        claims = jwt.decode(response.content, KEY, ["HS256"], audience="push")
        assert (claims["sub"], claims["pushhub"]) == ("7", {"read": ["orders:7"]})
        assert claims["exp"] - claims["iat"] == 60
        assert "no-store" in response["cache-control"]
        request.user = AnonymousUser()
        assert views.token(request).status_code == 403


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"URI": "http://127.0.0.1"}, "PUSHHUB has no key 'URI'. Its keys are KEY, READ,"),
        ({"READ": "nowhere.rights", "TOKEN_KEY": KEY}, "Set PUSHHUB['READ'] to the dotted path"),
        ({"TOKEN_KEY": KEY}, "Set PUSHHUB['READ'] to the dotted path"),
        ({**TWO, "TOKEN_KEY": "short"}, "PUSHHUB['TOKEN_KEY'] needs 32 bytes or more"),
    ],
)
def test_a_check_says_what_is_wrong(given: dict[str, Any], sentence: str) -> None:
    with override_settings(PUSHHUB=given):
        (error,) = run_checks()
    assert (error.id, error.msg.startswith(sentence)) == ("pushhub.E001", True), error.msg
    with override_settings(PUSHHUB=TWO):
        assert run_checks() == []
