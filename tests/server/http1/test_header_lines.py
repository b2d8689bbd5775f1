"""The header lines that the front adds."""

from pushhub.api.cors import SAME_ORIGIN, Cors
from pushhub.server.http1.header_lines import HeaderLinesTable


def test_the_lines_of_a_variant() -> None:
    table = HeaderLinesTable(0.0)
    lines = table.of(SAME_ORIGIN)
    assert table.of(SAME_ORIGIN) is lines
    date = b"date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    assert date in lines.keep
    assert b"connection" not in lines.keep
    assert lines.close == lines.keep + b"connection: close\r\n"
    assert lines.stay == lines.keep + b"connection: keep-alive\r\n"


def test_a_second_later_every_variant_has_another_date() -> None:
    table = HeaderLinesTable(0.0)
    anyone = Cors(["*"]).variant("https://a.example")
    known = [table.of(SAME_ORIGIN), table.of(anyone)]
    table.refresh(1.0)
    for lines in (*known, table.of(SAME_ORIGIN)):
        for text in (lines.keep, lines.close, lines.stay):
            assert text.count(b"date: ") == 1
            assert b"00:00:01 GMT\r\n" in text
    assert b"access-control-allow-origin: *\r\n" in known[1].keep
