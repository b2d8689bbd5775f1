"""The table of raw requests, over TCP: on the front, and on uvicorn's two protocols in front of the
same application.
"""

import json
from collections.abc import Iterator

import pytest

from tests.server.http1.exchange import outcome
from tests.server.http1.table import CASES, DIFFERENT, Case
from tests.serving import Server, serve

# What depends on how much is there at once: who answers before the rest comes, or asks for it.
EAGER = {
    "close-then-more",
    "expect",
    "length-page",
    "chunked-page",
    "chunked-page-broken",
    "chunked-page-bad-trailer",
}
SHORT = [
    pytest.param(case, id=case.id)
    for case in CASES
    if len(case.raw) < 3000 and case.id not in EAGER
]
BY_ID = [pytest.param(case, id=case.id) for case in CASES]


def test_the_table_has_no_two_of_one_name() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
    assert set(DIFFERENT) <= {case.id for case in CASES}


@pytest.mark.parametrize("case", BY_ID)
async def test_front(front: Server, case: Case) -> None:
    found, seen = await outcome(front.port, [case.raw], case.front, case.methods)
    assert found == case.front.strip()
    if case.problem:
        assert json.loads(seen.answers[-1][1])["type"] == f"urn:pushhub:problem:{case.problem}"
    for head, body in seen.answers:
        names = [name for name, _ in head.headers]
        assert len(names) == len(set(names)), "a header is said twice"
        if head.status_code >= 400 and body:
            assert (b"content-type", b"application/problem+json") in list(head.headers)
            assert json.loads(body)["status"] == head.status_code
    # uvicorn, which serves the pages, does not know that a body left unread ends a connection.
    if (
        found.endswith("close")
        and case.id != "expect-of-a-page"
        and seen.answers
        and seen.answers[-1][0].status_code >= 200
    ):
        assert (b"connection", b"close") in list(seen.answers[-1][0].headers)


@pytest.mark.parametrize("case", SHORT)
async def test_front_byte_by_byte(front: Server, case: Case) -> None:
    """However the network cuts them, the same bytes mean the same."""
    pieces = [case.raw[at : at + 1] for at in range(len(case.raw))]
    found, _ = await outcome(front.port, pieces, case.front, case.methods)
    assert found == case.front.strip()


@pytest.fixture(scope="module", params=["httptools", "h11"])
def uvicorn(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    with serve("asgi" if request.param == "httptools" else "h11") as server:
        yield request.param, server
        server.output.lines.clear()  # h11 is known to trip over a request or two.


@pytest.mark.parametrize("case", BY_ID)
async def test_uvicorn(uvicorn: tuple[str, Server], case: Case) -> None:
    """Where the front and uvicorn's protocols part is known, and so is why."""
    name, server = uvicorn
    expected = case.outcome(name).split(" or ")
    found, _ = await outcome(server.port, [case.raw], expected[0], case.methods)
    assert found in expected
