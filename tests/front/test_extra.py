"""The header lines that the front adds."""

from pushhub.api.cors import SAME_ORIGIN, Cors
from pushhub.server.http1.response_headers import Extras


def test_the_lines_of_a_variant() -> None:
    extras = Extras(0.0)
    extra = extras.of(SAME_ORIGIN)
    assert extras.of(SAME_ORIGIN) is extra
    date = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    assert date in extra.keep
    assert b"connection" not in extra.keep
    assert extra.close == extra.keep + b"connection: close\r\n"
    assert extra.stay == extra.keep + b"connection: keep-alive\r\n"


def test_a_second_later_every_variant_has_another_date() -> None:
    extras = Extras(0.0)
    anyone = Cors([], any_origin=True).variant("https://a.example")
    known = [extras.of(SAME_ORIGIN), extras.of(anyone)]
    extras.refresh(1.0)
    for extra in (*known, extras.of(SAME_ORIGIN)):
        for lines in (extra.keep, extra.close, extra.stay):
            assert lines.count(b"date: ") == 1
            assert b"00:00:01 GMT\r\n" in lines
    assert b"access-control-allow-origin: *\r\n" in known[1].keep
