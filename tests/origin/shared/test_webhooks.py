"""`POST /v1/notify` of senders that pushhub does not know: any body, and signed deliveries."""

import datetime
import gzip
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from pushhub.api.notify import MAX_NOTIFICATION_BYTES, MAX_NOTIFY_BYTES
from pushhub.auth.api_keys import new_secret, secret_hash
from tests.origin.shared.front import Front
from tests.ports import free_port
from tests.serving import Server, serve
from tests.wire import Response

NOTIFY = "/_pushhub/v1/notify"
SECRET = "It's a Secret to Everybody"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = new_secret()
SOURCES = [
    {"name": "hub", "signature": "github", "secret": SECRET, "resources": ["/notify/*"]},
    {"name": "tea", "signature": "gitea", "secret": SECRET, "resources": ["/notify/*"]},
    {"name": "lab", "signature": "gitlab", "secret": SECRET, "resources": ["/notify/{id}"]},
    {"name": "svix", "signature": "standard", "secret": STANDARD, "resources": ["/notify/*"]},
]
ROUTES = [{"path": "/notify/*", "step": "notify"}]
# What an Alertmanager sends, in short.
ALERT = json.dumps({"version": "4", "status": "firing", "alerts": [{"labels": {}}]}).encode()


@pytest.fixture(scope="module")
def hub() -> Iterator[tuple[Server, int]]:
    port = free_port()
    keys = [{"name": "k", "sha256": secret_hash(KEY), "publish": ["/notify/*"], "manage": ["*"]}]
    settings: dict[str, Any] = {"routes": ROUTES, "sources": SOURCES, "api_keys": keys}
    origin = f"http://127.0.0.1:{port}"
    with serve(origin=origin, dev=False, metrics_public=True, **settings) as server:
        yield server, port


def hexdigest(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


async def post(front: Front, query: str, body: bytes = b"", **headers: str) -> Response:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return await front.hub.ask("POST", NOTIFY + query, fields, body)


async def notices(front: Front) -> float:
    """The notifications that the hub has received."""
    text = (await front.hub.get("/_pushhub/metrics")).body.decode()
    (line,) = re.findall(r"(?m)^pushhub_origin_notices_total (\S+)$", text)
    return float(line)


async def tells(front: Front, query: str, body: bytes, **headers: str) -> None:
    """The delivery completes a wait on the resource."""
    front.api.set(front.notified, "1", '"one"')
    tag = (await front.wait(front.notified)).headers["etag"]
    async with front.waiting(front.notified, tag) as answer:
        await front.parked(1)
        front.api.set(front.notified, "2", '"two"')
        told = await post(front, query.format(front.notified), body, **headers)
        assert (told.status, told.json()) == (200, {"notified": 1}), told.body
        assert (await answer).headers["etag"] == '"two"'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", ALERT),
        ("application/x-www-form-urlencoded", b"payload=%7B%7D"),
        ("application/cloudevents+json", b"{}"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
        ("text/plain; charset=nonsense", b"\xff\0 no text"),
        ("", b""),
    ],
)
async def test_resources_of_the_url_are_notified_whatever_the_body(
    front: Front, content_type: str, body: bytes
) -> None:
    fields = {"authorization": f"Bearer {KEY}"}
    if content_type:
        fields["content_type"] = content_type
    await tells(front, "?resources={}", body, **fields)


async def test_a_prefix_and_several_resources(front: Front) -> None:
    key = f"Bearer {KEY}"
    told = await post(
        front, "?resources=/notify/a,/notify/b*&resources=/notify/c", authorization=key
    )
    assert told.json() == {"notified": 3}
    await tells(front, "?resources=/notify/*", b"", authorization=key)


async def test_a_comma_and_other_letters_of_a_path(front: Front) -> None:
    front.notified = f"{front.notified}/caf%C3%A9,1+1?a=1&b=2"
    named = front.notified.replace(",", "%2C").replace("&", "%26")
    assert "%C3%A9" in named
    await tells(front, f"?resources={named}", b"", authorization=f"Bearer {KEY}")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?resources=", 400),
        ("?resources=,", 400),
        ("?resources=notify", 400),
        ("?resources=/notify/a*b", 400),
        ("?resources=/notify/{", 400),
        ("?resources=" + ",".join(["/notify/a"] * 101), 413),
        ("?resources=/other", 403),
        ("?resources=/*", 403),
        ("", 400),
    ],
)
async def test_bad_resources_are_refused(front: Front, query: str, status: int) -> None:
    told = await post(front, query, ALERT, authorization=f"Bearer {KEY}")
    assert told.status == status, told.body


async def test_without_a_key_nothing_is_read(front: Front) -> None:
    told = await post(front, "?resources=/notify/a", ALERT)
    assert (told.status, told.problem) == (401, "unauthorized")


async def test_bodies_are_bounded(front: Front) -> None:
    key = f"Bearer {KEY}"
    large = b"x" * MAX_NOTIFY_BYTES
    assert (await post(front, "?resources=/notify/a", large, authorization=key)).status == 200
    told = await post(front, "?resources=/notify/a", large + b"x", authorization=key)
    assert (told.status, told.problem) == (413, "too-large")
    # Without the parameter the body is parsed, and may have much less.
    document = json.dumps({"resources": ["/notify/a"], "pad": "x" * MAX_NOTIFICATION_BYTES})
    for body, coding in ((document.encode(), ""), (gzip.compress(document.encode()), "gzip")):
        fields = {"content_encoding": coding} if coding else {}
        told = await post(front, "", body, authorization=key, **fields)
        assert (told.status, told.problem) == (413, "too-large")
    small = gzip.compress(b'{"resources": ["/notify/a"]}')
    told = await post(front, "", small, authorization=key, content_encoding="gzip")
    assert told.json() == {"notified": 1}


# -- signatures ----------------------------------------------------------------------


async def test_forges_sign_their_deliveries(front: Front) -> None:
    await tells(front, "?source=hub", ALERT, x_hub_signature_256=f"sha256={hexdigest(ALERT)}")
    await tells(front, "?source=tea", ALERT, x_gitea_signature=hexdigest(ALERT))
    await tells(front, "?source=lab", ALERT, x_gitlab_token=SECRET)
    await tells(
        front, "?source=hub&resources={}", ALERT, x_hub_signature_256=f"sha256={hexdigest(ALERT)}"
    )


async def test_a_signature_covers_a_compressed_body_as_sent(front: Front) -> None:
    body = gzip.compress(ALERT)
    signature = f"sha256={hexdigest(body)}"
    await tells(front, "?source=hub", body, x_hub_signature_256=signature, content_encoding="gzip")


def signed(id: str, at: datetime.datetime | None = None, body: str = "{}") -> dict[str, str]:
    """The headers of a delivery, by the library of the senders."""
    at = at or datetime.datetime.now(tz=datetime.UTC)
    return {
        "webhook_id": id,
        "webhook_timestamp": str(int(at.timestamp())),
        "webhook_signature": Webhook(STANDARD).sign(id, at, body),
    }


async def test_standard_webhooks(front: Front) -> None:
    await tells(front, "?source=svix", b"{}", **signed("msg_1"))
    old = datetime.datetime.now(tz=datetime.UTC) - datetime.timedelta(minutes=6)
    told = await post(front, "?source=svix", b"{}", **signed("msg_2", old))
    assert (told.status, told.problem) == (401, "unauthorized")
    assert "replay" in told.json()["detail"]


async def test_a_delivery_that_is_repeated_notifies_once(front: Front) -> None:
    front.api.set(front.notified, "1", '"one"')
    tag = (await front.wait(front.notified)).headers["etag"]
    before = await notices(front)
    async with front.waiting(front.notified, tag):
        await front.parked(1)
        delivery = signed("msg_once")
        for _ in range(3):
            assert (await post(front, "?source=svix", b"{}", **delivery)).status == 200
        # Another URL of the same message is another notification.
        query = f"?source=svix&resources={front.notified}"
        assert (await post(front, query, b"{}", **delivery)).status == 200
    after = await notices(front)
    assert after - before == 2


@pytest.mark.parametrize(
    ("query", "headers", "status", "says"),
    [
        ("?source=hub", {}, 401, "has the header X-Hub-Signature-256"),
        ("?source=hub", {"authorization": f"Bearer {KEY}"}, 401, "has the header"),
        ("?source=hub", {"x_hub_signature_256": "sha256=" + "0" * 64}, 401, "does not match"),
        ("?source=hub", {"x_gitlab_token": SECRET}, 401, "has the header X-Hub-Signature-256"),
        ("?source=lab", {"x_gitlab_token": SECRET + "x"}, 401, "is not the secret"),
        ("?source=none", {"x_gitlab_token": SECRET}, 401, "no webhook of this name"),
        ("?source=", {"x_gitlab_token": SECRET}, 401, "no webhook of this name"),
        ("?source=lab&resources=/other", {"x_gitlab_token": SECRET}, 403, "may notify"),
        ("?source=lab&resources=/notify/*", {"x_gitlab_token": SECRET}, 403, "may notify"),
        ("?source=lab&resources=/*", {"x_gitlab_token": SECRET}, 403, "may notify"),
        ("?source=lab&resources=/notify/../a", {"x_gitlab_token": SECRET}, 403, "may notify"),
        ("?source=lab&source=hub", {"x_gitlab_token": SECRET}, 401, "X-Hub-Signature-256"),
    ],
)
async def test_what_a_source_may_not_do(
    front: Front, query: str, headers: dict[str, str], status: int, says: str
) -> None:
    before = await notices(front)
    told = await post(front, query, ALERT, **headers)
    assert told.status == status, told.body
    assert says in told.json()["detail"]
    after = await notices(front)
    assert after == before


async def test_a_missing_signature_is_refused_from_the_head(front: Front) -> None:
    """A stranger's body of 4 MiB is not received."""
    async with await front.hub.connect() as client:
        head = f"POST {NOTIFY}?source=hub HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
        client.writer.write(head.encode())
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 401 ")
