"""A publisher's body cannot run in a browser."""

import pytest

from pushhub.http.published_body import published_headers


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "Text/HTML; charset=utf-8",
        "image/svg+xml",
        "application/xhtml+xml",
        "text/xml",
        "application/xml",
        "application/javascript",
        "text/css",
        "application/pdf",
        "multipart/x-mixed-replace",
        "x/y",
    ],
)
def test_an_active_type_is_a_download(content_type: str) -> None:
    assert (b"content-disposition", b"attachment") in published_headers(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/ld+json",
        "text/plain; charset=utf-8",
        "IMAGE/png",
        "video/mp4",
    ],
)
def test_a_passive_type_is_shown(content_type: str) -> None:
    headers = dict(published_headers(content_type))
    assert b"content-disposition" not in headers
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"content-security-policy"] == b"sandbox; default-src 'none'"
