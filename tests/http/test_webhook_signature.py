"""The signatures of webhooks, with the examples of their senders."""

import base64
import hashlib
import hmac
from typing import Any

import pytest

from pushhub.http.webhook_signature import (
    MAX_ID,
    MAX_SIGNATURES,
    TOLERANCE_SECONDS,
    SignatureError,
    SignatureForm,
    WebhookSignature,
    webhook_key,
)

SECRET = "It's a Secret to Everybody"
BODY = b"Hello, World!"
# GitHub's documentation: "Validating webhook deliveries", the values to test an implementation.
GITHUB = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
# The example of the Standard Webhooks specification's libraries.
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
STANDARD_BODY = b'{"test": 2432232314}'
SIGNED_AT = 1614265330.0


def check(
    form: SignatureForm, secret: str, headers: dict[str, str], body: bytes, now: float = 0.0
) -> str:
    return WebhookSignature(form, webhook_key(form, secret)).check(headers, body, now)


def standard(body: bytes = STANDARD_BODY, now: float = SIGNED_AT, **changed: str) -> str:
    headers = {**STANDARD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return check("standard", STANDARD_SECRET, headers, body, now)


def test_the_examples_of_the_senders_are_accepted() -> None:
    assert check("github", SECRET, {"x-hub-signature-256": GITHUB}, BODY) == ""
    gitea = {"x-gitea-signature": GITHUB.removeprefix("sha256=")}
    assert check("gitea", SECRET, gitea, BODY) == ""
    assert check("gitea", SECRET, {"x-forgejo-signature": gitea["x-gitea-signature"]}, BODY) == ""
    assert check("gitlab", SECRET, {"x-gitlab-token": SECRET}, BODY) == ""
    assert standard() == STANDARD["webhook-id"]


def test_mlflow_signs_id_time_and_body() -> None:
    digest = hmac.new(SECRET.encode(), b"id-1.1000." + BODY, hashlib.sha256).digest()
    headers = {
        "x-mlflow-delivery-id": "id-1",
        "x-mlflow-timestamp": "1000",
        "x-mlflow-signature": "v1," + base64.b64encode(digest).decode(),
    }
    assert check("mlflow", SECRET, headers, BODY, 1000.0) == "id-1"
    with pytest.raises(SignatureError, match="differs from this server's clock"):
        check("mlflow", SECRET, headers, BODY, 1000.0 + TOLERANCE_SECONDS + 1)


def test_a_secret_beyond_ascii_is_compared_in_its_bytes() -> None:
    secret = "geheimnis-für-alle"
    received = secret.encode().decode("latin-1")
    assert check("gitlab", secret, {"x-gitlab-token": received}, BODY) == ""


@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ("github", {"x-hub-signature-256": GITHUB}),
        ("gitea", {"x-gitea-signature": GITHUB.removeprefix("sha256=")}),
    ],
)
def test_another_body_or_secret_is_refused(form: SignatureForm, headers: dict[str, str]) -> None:
    for secret, body in ((SECRET, BODY + b"!"), (SECRET + "!", BODY), (SECRET, b"")):
        with pytest.raises(SignatureError, match="does not match the body and the secret"):
            check(form, secret, headers, body)


@pytest.mark.parametrize(
    "text",
    ["", "sha256=", "sha256", "sha1=" + "0" * 40, "sha256=xyz", GITHUB[:-1], GITHUB + "00",
     GITHUB.removeprefix("sha256="), "sha256=\xff"],
)  # fmt: skip
def test_a_malformed_signature_is_refused(text: str) -> None:
    with pytest.raises(SignatureError):
        check("github", SECRET, {"x-hub-signature-256": text}, BODY)


@pytest.mark.parametrize("token", ["", SECRET[:-1], SECRET + "x", "\xff", "é"])
def test_another_token_is_refused(token: str) -> None:
    with pytest.raises(SignatureError):
        check("gitlab", SECRET, {"x-gitlab-token": token}, BODY)


@pytest.mark.parametrize("off", [TOLERANCE_SECONDS + 1, -TOLERANCE_SECONDS - 1])
def test_a_replay_is_refused(off: int) -> None:
    assert standard(now=SIGNED_AT + off * 299 / 301)
    with pytest.raises(SignatureError, match="a replay, or a clock is wrong"):
        standard(now=SIGNED_AT + off)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook_id": "msg_other"},
        {"webhook_timestamp": "1614265331"},
        {"webhook_timestamp": "1614265330.0"},
        {"webhook_timestamp": "-1"},
        {"webhook_timestamp": "9" * 400},
        {"webhook_timestamp": "\u0661\u0662"},
        {"webhook_signature": STANDARD["webhook-signature"].removeprefix("v1,")},
        {"webhook_signature": STANDARD["webhook-signature"].replace("v1", "v1a")},
        {"webhook_signature": "v1,"},
        {"webhook_signature": "v1,not base64"},
        {"webhook_id": "x" * (MAX_ID + 1)},
        {"body": b"{}"},
    ],
)
def test_a_changed_delivery_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(SignatureError):
        standard(**changed)


def test_one_of_several_signatures_is_enough_and_their_number_is_bounded() -> None:
    good, other = STANDARD["webhook-signature"], "v1," + base64.b64encode(b"0" * 32).decode()
    assert standard(webhook_signature=f"{other} v1a,xyz {good}")
    with pytest.raises(SignatureError):
        standard(webhook_signature=" ".join([other] * MAX_SIGNATURES + [good]))


@pytest.mark.parametrize("form", ["github", "gitea", "gitlab", "standard", "mlflow"])
def test_a_missing_header_is_named_before_the_body_is_read(form: SignatureForm) -> None:
    secret = STANDARD_SECRET if form == "standard" else SECRET
    signature = WebhookSignature(form, webhook_key(form, secret))
    with pytest.raises(SignatureError, match="has the header"):
        signature.check_head({}, 0.0)


def test_a_signature_of_one_form_is_none_of_another() -> None:
    """Else a captured delivery with a time could be sent again without one."""
    content = f"{STANDARD['webhook-id']}.{STANDARD['webhook-timestamp']}.".encode() + STANDARD_BODY
    key = webhook_key("standard", STANDARD_SECRET)
    captured = {
        "x-hub-signature-256": "sha256=" + hmac.new(key, content, hashlib.sha256).hexdigest()
    }
    with pytest.raises(SignatureError):
        WebhookSignature("standard", key).check(captured, content, SIGNED_AT)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_AAAA", "whsec_!" + "A" * 40, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_a_secret_of_standard_webhooks_has_its_form(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_ and the base64"):
        webhook_key("standard", secret)
