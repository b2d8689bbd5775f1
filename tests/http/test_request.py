import pytest

from pushhub.http.request import MAX_QUERY_FIELDS, QueryError, Request


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a=1&a=2", {"a": "2"}),
        ("a", {"a": ""}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=x+y%20z", {"a": "x y z"}),
        ("a=%2B%26", {"a": "+&"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("&&", {}),
        ("a=100%", {"a": "100%"}),
    ],
)
def test_query(text: str, query: dict[str, str]) -> None:
    assert Request("GET", "/", text).query == query


def test_fields_are_bounded() -> None:
    fields = [f"f{n}=1" for n in range(MAX_QUERY_FIELDS)]
    assert len(Request("GET", "/", "&".join(fields)).query) == MAX_QUERY_FIELDS
    with pytest.raises(QueryError, match="at most 32"):
        _ = Request("GET", "/", "&".join([*fields, "g=1"])).query
    with pytest.raises(QueryError, match="at most 32"):
        _ = Request("GET", "/", "&" * 100_000).query


@pytest.mark.parametrize("text", ["a=%FF", "%FF=a", "a=%C3", "a=%ED%A0%80"])
def test_no_utf8(text: str) -> None:
    with pytest.raises(QueryError, match="not UTF-8"):
        _ = Request("GET", "/", text).query


def test_a_request_has_defaults_and_a_name() -> None:
    request = Request("GET", "/v1/channels/a%2Fb")
    assert request.headers == {}
    assert request.body == b""
    assert repr(request) == "<Request GET /v1/channels/a%2Fb>"
