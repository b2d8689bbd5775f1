"""The texts of docs/client.md that a developer reads when a page cannot use the hub."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import pytest

from tests.api.test_auth import KEYS
from tests.auth.signing import SECRET
from tests.browser.chromium import Profile
from tests.browser.site import Site
from tests.ports import free_port
from tests.serving import serve

DOCS = Path(__file__).parents[2] / "docs"
TEXTS = dict(
    re.findall(r"^\| ([^|]+?) \| `([^`|]+)` \|", (DOCS / "client.md").read_text(), re.MULTILINE)
)
TEXTS.pop("case")

PAGE = """<!doctype html><script src="/client.js"></script><script>
  const hub = pushhub.connect("{url}", {options}), told = [];
  hub.on("news", (event) => told.push(event.error?.message));
  hub.publish("news", 1).catch((error) => told.push("publish: " + error.message));
</script>"""


@contextmanager
def case(name: str, site: Site) -> Iterator[tuple[str, str]]:
    """The URL of a hub that a page cannot use, and the options of `connect`."""
    key = {"algorithm": "HS256", "key": SECRET.decode()}
    origins = ["https://other.example"] if name == "CORS" else [site.url]
    options = {
        "a wrong key": "{token: 'phk_wrong'}",
        "a token that has ended": f"{{token: {token(-60, '*')!r}}}",
        "a token without the channel": f"{{token: {token(600, 'sports')!r}}}",
    }
    with serve(dev=False, api_keys=KEYS, token_keys=[key], cors_origins=origins) as hub:
        url = {
            "no hub at the URL": f"http://127.0.0.1:{free_port()}",
            "another server at the URL": site.url,
            "no scheme": f"localhost:{hub.port}",
        }
        yield url.get(name, f"http://127.0.0.1:{hub.port}"), options.get(name, "{}")


def token(seconds: float, *patterns: str) -> str:
    claims = {"exp": time.time() + seconds, "pushhub": {"read": list(patterns)}}
    return jwt.encode(claims, SECRET, "HS256")


@pytest.mark.parametrize("name", TEXTS)
async def test_the_text_of_an_error(name: str, site: Site, profile: Profile) -> None:
    static = Path(__file__).parents[2] / "pushhub/api/static/client.js"
    site.pages["/client.js"] = static.read_text()
    with case(name, site) as (url, options):
        site.pages["/page"] = PAGE.format(url=url, options=options)
        tab = await profile.open(f"{site.url}/page")
        # A publish is refused as well, in its own words; the reader's are in the table.
        await tab.until(
            "hub.debug().error?.message && told.some((text) => text?.startsWith('publish: '))"
        )
        said = await tab.run("return hub.debug().error.message")
        named = TEXTS[name].replace("HUB", url).replace("PAGE", site.url)
        assert re.fullmatch(re.escape(named).replace("TIME", r"\S+"), said), said
        refused = [text for text in await tab.run("return told") if text.startswith("publish: ")]
        assert refused, "a rejected publish says it, too"


def test_each_case_is_there() -> None:
    assert len(TEXTS) == 8
