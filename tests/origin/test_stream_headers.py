"""A GRIP stream and proxies that compress: `no-transform` beside what the origin says."""

from pushhub.http.raw_response import RawResponse
from pushhub.origin.grip.stream import _untransformed

NO_TRANSFORM = (b"Cache-Control", b"no-transform")


def test_no_transform_is_added_beside_the_origins_own() -> None:
    plain = RawResponse(200, ((b"Content-Type", b"text/event-stream"),))
    assert _untransformed(plain).headers == (*plain.headers, NO_TRANSFORM)
    cached = RawResponse(200, ((b"cache-control", b"no-cache, x-no-transform=1"),))
    assert _untransformed(cached).headers == (*cached.headers, NO_TRANSFORM)


def test_an_origin_that_says_it_is_passed_on_as_it_is() -> None:
    for value in (b"no-transform", b"no-cache, No-Transform"):
        said = RawResponse(200, ((b"CACHE-CONTROL", value),))
        assert _untransformed(said) is said
