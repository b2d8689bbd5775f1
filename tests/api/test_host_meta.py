"""Where a domain's BOSH address is, for clients that know the domain alone (XEP-0156)."""

from pushhub.xml import parse
from tests.serving import Server

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
