"""Cookies by name: the ones that identify a client, and the ones that make no difference."""

from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from pushhub.origin.shared.key import named_cookies
from pushhub.settings.route import Route
from tests.origin.shared.front import Front, serving
from tests.serving import Server

ROUTES = [
    {
        "path": "/mine/*",
        "step": "notify",
        "identity": ["cookie:sessionid", "cookie:lang"],
        "drop_set_cookie": ["csrftoken"],
    },
    {"path": "/all/*", "step": "notify"},
]


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[Server, int]]:
    with serving("front", ROUTES) as running:
        yield running


async def test_clients_with_the_same_session_share_whatever_their_other_cookies(
    front: Front,
) -> None:
    api = front.api
    api.set("/mine/a", "1", '"1"', headers=[("Vary", "Cookie")])
    async with (
        front.waiting("/mine/a", '"1"', cookie="_ga=7; sessionid=s; csrftoken=x") as one,
        front.waiting("/mine/a", '"1"', cookie="sessionid=s; _ga=8; csrftoken=y") as two,
        front.waiting("/mine/a", '"1"', cookie="sessionid=other; _ga=8") as three,
    ):
        await front.parked(3, looks=2)
        before = api.count()
        api.set("/mine/a", "2", '"2"', headers=[("Vary", "Cookie")])
        await front.notify("/mine/a")
        assert [(await task).body for task in (one, two, three)] == [b"2"] * 3
        assert api.count() == before + 2
    # The origin received the named cookies alone, so no other can change the response.
    sent = {asked.headers.get("cookie") for asked in api.asked}
    assert sent == {"sessionid=s", "sessionid=other"}


async def test_no_client_receives_the_response_to_another_session(front: Front) -> None:
    api = front.api
    api.set("/mine/b", "first", '"1"', headers=[("Cache-Control", "private")])
    assert (await front.wait("/mine/b", cookie="sessionid=s")).body == b"first"
    api.set("/mine/b", "second", '"2"', headers=[("Cache-Control", "private")])
    for cookie in ("sessionid=t", "sessionid=s; lang=de", "sessionid=s; sessionid=t"):
        before = api.count()
        assert (await front.wait("/mine/b", cookie=cookie)).body == b"second", cookie
        assert api.count() == before + 1, cookie


async def test_a_private_response_without_the_session_is_not_shared(front: Front) -> None:
    front.api.set("/mine/c", "1", '"1"', headers=[("Cache-Control", "private")])
    response = await front.wait("/mine/c", cookie="_ga=7")
    assert "preference-applied" not in response.headers
    # It passed through, with all of its cookies.
    assert front.api.asked[-1].headers["cookie"] == "_ga=7"


async def test_a_renewed_cookie_is_taken_off_the_shared_copy(front: Front) -> None:
    renewed = [("Set-Cookie", "csrftoken=new; Path=/")]
    front.api.set("/mine/d", "1", '"1"', headers=renewed)
    response = await front.wait("/mine/d", cookie="sessionid=s")
    assert response.headers["preference-applied"] == "wait=20"
    assert "set-cookie" not in response.headers
    plain = await front.hub.ask("GET", "/mine/d", {"cookie": "sessionid=s"})
    assert plain.headers["set-cookie"] == "csrftoken=new; Path=/"


@pytest.mark.parametrize("name", ["sessionid", "csrftoken2", "CSRFTOKEN"])
async def test_any_other_new_cookie_is_for_one_client(front: Front, name: str) -> None:
    cookies = [("Set-Cookie", f"{name}=new"), ("Set-Cookie", "csrftoken=new")]
    front.api.set(f"/mine/{name}", "1", '"1"', headers=cookies)
    response = await front.wait(f"/mine/{name}", cookie="sessionid=s")
    assert "preference-applied" not in response.headers
    assert "set-cookie" in response.headers


async def test_without_names_every_cookie_counts(front: Front) -> None:
    front.api.set("/all/a", "1", '"1"')
    for cookie in ("sessionid=s; _ga=7", "sessionid=s; _ga=8"):
        await front.wait("/all/a", cookie=cookie)
    assert [asked.headers["cookie"] for asked in front.api.asked] == [
        "sessionid=s; _ga=7",
        "sessionid=s; _ga=8",
    ]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("", ""),
        ("a=1", "a=1"),
        ("c=3", ""),
        ("b=2; c=3;a=1", "a=1; b=2"),
        # Origins differ in which of two they read.
        ("a=2; a=1", "a=2; a=1"),
        ('a="x=y"; A=1', 'a="x=y"'),
        ("a; =1;;", ""),
    ],
)
def test_named_cookies(header: str, kept: str) -> None:
    assert named_cookies(header, frozenset({"a", "b"})) == kept


@pytest.mark.parametrize(
    "route",
    [
        {"step": "grip", "identity": ["cookie:a"]},
        {"step": "poll", "identity": ["cookie:a", "cookie"]},
        {"step": "poll", "identity": ["cookie:"]},
        {"step": "poll", "identity": ["cookie:a b"]},
        {"step": "poll", "drop_set_cookie": ["a=b"]},
    ],
)
def test_a_route_that_contradicts_itself_is_refused(route: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Route.model_validate(route)


def test_routes_with_the_same_settings_are_equal() -> None:
    one, other = (Route(step="poll", identity=("cookie:a",)) for _ in range(2))
    assert one.identity_headers == ("cookie",)
    assert one == other
