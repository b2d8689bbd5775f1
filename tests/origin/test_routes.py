"""Which route a request takes, and that nobody gets around it."""

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pushhub.http.problem import Problem
from pushhub.origin.routes import RouteMatch, Routes
from pushhub.settings import Route, Settings

API, ADMIN = "http://api:8000", "http://admin:9000"


def routes(*given: dict[str, Any], origin: str | None = API) -> Routes:
    return Routes(Settings(origin=origin, routes=[Route(**fields) for fields in given]))


def path_of(found: RouteMatch | None) -> str | None:
    return None if found is None else found.route.path


# -- order -----------------------------------------------------------------------------------------


def test_the_first_that_matches_counts() -> None:
    table = routes({"path": "/orders/new"}, {"path": "/orders/{id}"}, {"path": "/orders/*"})
    assert path_of(table.find("h", "/orders/new")) == "/orders/new"
    assert path_of(table.find("h", "/orders/7")) == "/orders/{id}"
    assert path_of(table.find("h", "/orders/7/lines")) == "/orders/*"
    assert path_of(table.find("h", "/")) == "/*"


def test_an_earlier_pattern_goes_before_a_later_exact_path() -> None:
    table = routes({"path": "/a*"}, {"path": "/{x}/b"}, {"path": "/ab/b"}, {"path": "/c/b"})
    assert path_of(table.find("h", "/ab/b")) == "/a*"
    assert path_of(table.find("h", "/c/b")) == "/{x}/b"


def test_the_origin_has_the_rest_and_decides_there_itself() -> None:
    found = routes({"path": "/orders"}).find("h", "/elsewhere")
    assert found == RouteMatch(Route(), API, {})
    assert found.route.step == "grip"


def test_without_a_default_origin_other_paths_have_no_route() -> None:
    table = routes({"path": "/orders", "target": API}, origin=None)
    assert table.find("h", "/orders") is not None
    assert table.find("h", "/elsewhere") is None


def test_a_target_of_its_own() -> None:
    found = routes({"path": "/admin/*", "target": ADMIN + "/"}).find("h", "/admin/x")
    assert found is not None
    assert found.target == ADMIN


def test_names_of_a_path_are_decoded() -> None:
    found = routes({"path": "/shops/{shop}/orders/{id}"}).find("h", "/shops/caf%C3%A9/orders/a%20b")
    assert found is not None
    assert found.names == {"shop": "caf\u00e9", "id": "a b"}


@pytest.mark.parametrize("target", ["*", "orders", ""])
def test_what_is_no_path_has_no_route(target: str) -> None:
    assert routes().find("h", target) is None


# -- hosts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "host", "takes"),
    [
        ("api.example.com", "api.example.com", True),
        ("API.example.com", "api.example.com", True),
        ("api.example.com", "api.example.com.", True),
        ("api.example.com", "xapi.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("*.example.com", "example.com.evil", False),
        ("*", "", True),
        ("[::1]", "[::1]", True),
    ],
)
def test_hosts(wanted: str, host: str, takes: bool) -> None:
    table = routes({"host": wanted, "path": "/x"})
    assert path_of(table.find(host, "/x")) == ("/x" if takes else "/*")
    assert table.rows[0].matches_host(host.removesuffix(".")) is takes


def test_the_order_goes_before_the_closeness_of_the_host() -> None:
    table = routes(
        {"host": "*.example.com", "path": "/a"},
        {"host": "x.example.com", "path": "/*"},
        {"path": "/a*"},
        {"host": "y.example.com", "path": "/a"},
    )
    for host, path, place in [
        ("x.example.com", "/a", 0),
        ("x.example.com", "/b", 1),
        ("y.example.com", "/ab", 2),
        ("z.test", "/a", 2),
    ]:
        found = table.find(host, path)
        assert found is not None
        assert found.route is table.rows[place].route


def test_a_route_that_never_gets_a_request_is_known() -> None:
    table = routes(
        {"host": "*.example.com", "path": "/a/*"},
        {"host": "x.example.com", "path": "/a/b"},
        {"path": "/a/b"},
        {"path": "/a/b", "step": "pass"},
    )
    assert [table.covering(row) for row in table.rows] == [
        None,
        table.rows[0],
        None,
        table.rows[2],
        None,
    ]


# -- nobody gets around a route ----------------------------------------------------------------

DODGES = [
    "/public/../admin/x",
    "/public/%2e%2e/admin/x",
    "/public/.%2E/admin/x",
    "/public/%252e%252e/admin/x",
    "/public/..%2fadmin/x",
    "/public%2f..%2fadmin/x",
    "/public/..;/admin/x",
    "/public/..;a=b/admin/x",
    "/public/..%5cadmin/x",
    "/public\\..\\admin/x",
    "//admin/x",
    "/.//admin/x",
    "/./admin/x",
    "/%2e/admin/x",
    "/;/admin/x",
    "/admin;v=1/x",
    "/admin%2fx",
    "/admin/./x/../../public/x",
]


@pytest.mark.parametrize("path", DODGES)
def test_what_could_be_for_another_origin_is_refused(path: str) -> None:
    table = routes({"path": "/admin/*", "target": ADMIN}, {"path": "/public/*"})
    with pytest.raises(Problem) as caught:
        table.find("h", path)
    assert caught.value.slug == "bad-request"
    assert "two readings" in caught.value.detail


@pytest.mark.parametrize("path", DODGES)
def test_what_could_be_for_no_route_is_refused(path: str) -> None:
    table = routes({"path": "/public/*", "target": API}, origin=None)
    with suppress(Problem):
        assert table.find("h", path) is None, "no reading leads to the route"


@pytest.mark.parametrize("path", DODGES)
def test_what_could_be_for_another_route_is_passed_through_and_not_shared(path: str) -> None:
    """Or one that is the same for everybody would be filled with what only one may read."""
    table = routes(
        {"path": "/public/*", "step": "poll", "identity": (), "max_age": 60},
        {"path": "/admin/*", "step": "pass"},
    )
    found = table.find("h", path)
    assert found is not None
    assert (found.route.step, found.target, found.names) == ("pass", API, {})
    assert found.ambiguous


@pytest.mark.parametrize("path", ["/a//b", "/a/./b", "/a/x/../b", "/a/b%2Fc", "/a/b;v=1"])
def test_a_path_that_stays_in_its_route_in_every_reading_takes_it(path: str) -> None:
    found = routes({"path": "/a/*", "step": "poll"}).find("h", path)
    assert found is not None
    assert (found.route.step, found.ambiguous) == ("poll", False)


def test_names_that_could_be_others_are_nobodys() -> None:
    table = routes({"path": "/users/{name}/*", "step": "notify", "channel": "of:{name}"})
    found = table.find("h", "/users/alice/../bob/x")
    assert found is not None
    assert (found.route.step, found.names) == ("pass", {})


def test_where_the_origin_decides_it_decides_about_its_paths_too() -> None:
    table = routes({"path": "/{id}", "step": "grip"})
    for path in ("/a%2Fb", "//a", "/x/../a"):
        found = table.find("h", path)
        assert found is not None
        assert (found.route.step, found.ambiguous) == ("grip", False)


@given(st.text("/.%2e;\\adminpublc5", max_size=24))
def test_no_path_is_both_for_one_origin_and_another(text: str) -> None:
    """Whatever the path, the route it takes is the one that each of its readings takes."""
    from pushhub.http.path_pattern import readings

    table = routes({"path": "/admin/*", "target": ADMIN}, {"path": "/public/*", "step": "poll"})
    path = "/" + text
    means = ["admin" if "admin" in m[:1] and len(m) > 1 else "else" for m in readings(path)]
    try:
        found = table.find("h", path)
    except Problem:
        assert set(means) == {"admin", "else"}
    else:
        assert found is not None
        assert set(means) == ({"admin"} if found.target == ADMIN else {"else"})


# -- many ------------------------------------------------------------------------------------------


def many(count: int) -> Routes:
    """Of every kind, none of which the last one's path matches before its turn."""
    kinds: list[dict[str, Any]] = []
    for index in range(count // 4):
        kinds += [
            {"path": f"/exact-{index}/x"},
            {"path": f"/named-{index}/{{id}}"},
            {"path": f"/open-{index}/*"},
            {"host": f"h{index}.example.com", "path": "/{a}/{b}"},
        ]
    return routes(*kinds)


def microseconds(table: Routes, host: str, path: str) -> float:
    assert table.find(host, path) is not None
    best = float("inf")
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(100):
            table.find(host, path)
        best = min(best, time.perf_counter() - begun)
    return best * 1e4


@pytest.mark.parametrize(
    ("host", "path"),
    [("h", "/open-{}/x/y"), ("h", "/named-{}/7"), ("h{}.example.com", "/x/y"), ("h", "/none/x")],
)
@pytest.mark.slow
def test_a_thousand_routes_cost_what_ten_do(host: str, path: str) -> None:
    few = microseconds(many(12), host.format(2), path.format(2))
    lots = microseconds(many(1000), host.format(249), path.format(249))
    assert lots < 5 * few + 5


@pytest.mark.parametrize("segment", ["x/", "%2e%2e/", "..%2f/", ";/", "%25252e/", "//"])
def test_a_long_path_is_little_work(segment: str) -> None:
    table = routes(*({"path": "/{a}/{b}/{c}/{d}" + f"/{i}"} for i in range(50)), {"path": "/*"})
    path = "/" + segment * (16_000 // len(segment))
    spent = []
    for _ in range(5):
        begun = time.process_time()
        assert table.find("h", path) is not None
        spent.append(time.process_time() - begun)
    assert min(spent) < 0.1, "milliseconds; where the work is quadratic, seconds"


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"path": "orders"}, "A path starts with '/'"),
        ({"path": "/{id}/{id}"}, "is another"),
        ({"host": "example.com:80"}, "without port"),
        ({"host": "*"}, ""),
        ({"host": "a.*.com"}, "is no host"),
        ({"target": "http://api:99999"}, "An origin is http://host:port"),
        ({"target": "http://api/base"}, "no path"),
        ({"target": "ftp://api"}, "An origin is"),
        ({"target": "http://user@api"}, "An origin is"),
        ({"share_addresses": True, "step": "poll"}, "'share_addresses' needs step = 'grip'"),
        ({"max_age": 5, "step": "pass"}, "'max_age' needs step = 'poll' or 'notify'"),
        ({"interval": 5, "slowest": 2}, "'slowest' is at least"),
        ({"cursor": "version"}, "needs 'version_field'"),
        ({"channel": "orders:{id}"}, "The path has no {id}"),
    ],
)
def test_a_mistake_is_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    if not sentence:
        Route(**fields)
        return
    with pytest.raises(ValidationError) as caught:
        Route(**fields)
    assert sentence in str(caught.value)
