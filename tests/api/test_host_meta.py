"""Where a domain's BOSH address is, for clients that know the domain alone (XEP-0156)."""

from typing import Any

from pushhub.xml import parse
from tests.serving import Server, serve

REL = "urn:xmpp:alt-connections:xbosh"


async def test_both_kinds_tell_the_address(hub: Server) -> None:
    answer = await hub.get("/.well-known/host-meta.json")
    (link,) = answer.json()["links"]
    assert link["rel"] == REL
    assert link["href"].startswith("http://")
    assert link["href"].endswith("/http-bind")
    assert answer.headers["access-control-allow-origin"] == "*"
    behind_tls = await hub.get("/.well-known/host-meta", x_forwarded_proto="https")
    assert behind_tls.headers["content-type"].startswith("application/xrd+xml")
    (element,) = parse(behind_tls.body, own=True).elements
    assert element.get("rel") == REL
    assert element.get("href") == link["href"].replace("http://", "https://")


async def test_a_foreign_host_is_not_repeated() -> None:
    given: dict[str, Any] = {"xmpp_domains": ["example.com"], "control": "127.0.0.1:0"}
    with serve(dev=False, **given) as server:
        for host, told in (
            ("example.com", "example.com"),
            ("chat.example.com:8443", "chat.example.com:8443"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("evil.test", "example.com"),
            ("notexample.com", "example.com"),
            ("example.com.evil.test", "example.com"),
        ):
            async with await server.connect() as client:
                client.writer.write(
                    b"GET /.well-known/host-meta.json HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode()
                )
                (link,) = (await client.receive()).json()["links"]
            assert link["href"] == f"http://{told}/http-bind"
