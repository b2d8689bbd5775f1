"""Addresses, by the examples of RFC 7622 §3.5."""

from __future__ import annotations

import pytest

from pushhub.xmpp.model.jid import JidError, parse_jid, prepare_password


@pytest.mark.parametrize(
    ("text", "local", "domain", "resource"),
    [
        ("juliet@example.com", "juliet", "example.com", ""),
        ("juliet@example.com/foo", "juliet", "example.com", "foo"),
        ("juliet@example.com/foo bar", "juliet", "example.com", "foo bar"),
        ("juliet@example.com/foo@bar", "juliet", "example.com", "foo@bar"),
        ("juliet@example.com/a/b", "juliet", "example.com", "a/b"),
        ("foo\\20bar@example.com", "foo\\20bar", "example.com", ""),
        ("fussball@example.com", "fussball", "example.com", ""),
        ("fußball@example.com", "fußball", "example.com", ""),
        ("π@example.com", "π", "example.com", ""),
        ("Σ@example.com/foo", "σ", "example.com", "foo"),
        ("king@example.com/♚", "king", "example.com", "♚"),
        ("example.com", "", "example.com", ""),
        ("example.com/foobar", "", "example.com", "foobar"),
        ("a.example.com/b@example.net", "", "a.example.com", "b@example.net"),
        ("JULIET@EXAMPLE.COM./Foo", "juliet", "example.com", "Foo"),
        ("juliet@BÜCHER.example", "juliet", "bücher.example", ""),
        ("juliet@[::1]", "juliet", "[::1]", ""),
    ],
)
def test_addresses(text: str, local: str, domain: str, resource: str) -> None:
    jid = parse_jid(text)
    assert (jid.local, jid.domain, jid.resource) == (local, domain, resource)
    assert parse_jid(jid.text) == jid


@pytest.mark.parametrize(
    "text",
    [
        "",
        '"juliet"@example.com',
        "foo bar@example.com",
        "juliet@example.com/",
        "@example.com",
        "@example.com/foobar",
        "@/",
        "henryⅣ@example.com",
        "♚@example.com",
        "juliet@",
        "juliet@a b",
        "juliet@example.com/\x00",
        "juliet@<x>",
        "x" * 1024 + "@example.com",
        "x" * 4000,
        "\ud800@example.com",
        "a@b/\u202e",
    ],
)
def test_invalid_addresses(text: str) -> None:
    with pytest.raises(JidError):
        parse_jid(text)


def test_a_usual_password_stays_unchanged() -> None:
    assert prepare_password("correct horse") == "correct horse"
    assert prepare_password("caf\u0065\u0301") == "café"
    with pytest.raises(JidError):
        prepare_password("")
