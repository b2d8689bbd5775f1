"""The signatures of webhooks: they prove that a delivery comes from a configured source.

A source names one of the forms below. No form is detected by the headers of a delivery: a
signature that is valid in one form could otherwise be sent as one of a form without a time.
A comparison takes the same time for every wrong signature.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SignatureForm = Literal["github", "gitea", "gitlab", "standard", "mlflow"]

# Standard Webhooks: the tolerance of its libraries, before and after the receiver's clock.
TOLERANCE_SECONDS = 300
# The prefix of a secret of Standard Webhooks; the base64 of the key follows.
STANDARD_PREFIX = "whsec_"
# Standard Webhooks §"Signature scheme": 24 to 64 bytes.
STANDARD_KEY_BYTES = range(24, 65)
# A rotation of the sender's secret sends two; each costs one comparison.
MAX_SIGNATURES = 8
# The id of a delivery is a UUID or a ULID with a prefix.
MAX_ID = 256

_GITHUB = "x-hub-signature-256"
_GITLAB = "x-gitlab-token"
# The names of the headers that have the same signature.
_PLAIN = {"github": (_GITHUB,), "gitea": ("x-gitea-signature", "x-forgejo-signature")}
# The headers of id, time and signature.
_TIMED = {
    "standard": ("webhook-id", "webhook-timestamp", "webhook-signature"),
    "mlflow": ("x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"),
}


class SignatureError(ValueError):
    """A delivery is not signed by its source; the message is a sentence for its sender."""


def webhook_key(form: SignatureForm, secret: str) -> bytes:
    """The key of a secret.

    Raises:
        ValueError: the secret does not suit the form; the message is a sentence.
    """
    if form != "standard":
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(STANDARD_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(STANDARD_PREFIX) or len(key) not in STANDARD_KEY_BYTES:
        raise ValueError(
            "A secret of Standard Webhooks is whsec_ and the base64 of 24 to 64 bytes; make one "
            "with: echo whsec_$(openssl rand -base64 32)"
        )
    return key


@dataclass(frozen=True, slots=True, repr=False)
class WebhookSignature:
    """The form and the key of one source's signatures."""

    form: SignatureForm
    key: bytes

    def check_head(self, headers: Mapping[str, str], now: float) -> None:
        """Check everything but the body, before the body is read.

        Raises:
            SignatureError: a header is missing, is no signature of this form, or is too old.
        """
        if self.form == "gitlab":
            token = _header(headers, (_GITLAB,))
            if not hmac.compare_digest(_bytes(token), self.key):
                raise SignatureError("X-Gitlab-Token is not the secret of this source.")
        elif self.form in _TIMED:
            self._check_time(headers, now)
        else:
            _header(headers, _PLAIN[self.form])

    def check(self, headers: Mapping[str, str], body: bytes, now: float) -> str:
        """Check a whole delivery. Returns its id, which later attempts of the same delivery repeat;
        empty if the form signs none.

        Raises:
            SignatureError: the delivery is not signed by the source.
        """
        self.check_head(headers, now)
        if self.form == "gitlab":
            return ""
        if self.form in _TIMED:
            id_name, time_name, _ = _TIMED[self.form]
            id, time = headers[id_name], headers[time_name]
            self._compare(headers, _bytes(f"{id}.{time}.") + body)
            return id
        text = _header(headers, _PLAIN[self.form])
        if self.form == "github":
            algorithm, _, text = text.partition("=")
            if algorithm != "sha256":
                raise SignatureError("X-Hub-Signature-256 begins with 'sha256='.")
        expected = hmac.digest(self.key, body, "sha256")
        if not hmac.compare_digest(_decoded(bytes.fromhex, text), expected):
            raise _mismatch(_PLAIN[self.form])
        return ""

    def _check_time(self, headers: Mapping[str, str], now: float) -> None:
        id_name, time_name, signature_name = _TIMED[self.form]
        id, time = _header(headers, (id_name,)), _header(headers, (time_name,))
        _header(headers, (signature_name,))
        if len(id) > MAX_ID:
            raise SignatureError(f"{_shown(id_name)} has at most {MAX_ID} characters.")
        if not (time.isascii() and time.isdigit() and len(time) <= 12):
            raise SignatureError(f"{_shown(time_name)} is in whole seconds since 1970.")
        if abs(int(time) - now) > TOLERANCE_SECONDS:
            raise SignatureError(
                f"{_shown(time_name)} differs from this server's clock by more than "
                f"{TOLERANCE_SECONDS} s: the delivery is a replay, or a clock is wrong."
            )

    def _compare(self, headers: Mapping[str, str], content: bytes) -> None:
        name = _TIMED[self.form][2]
        expected = hmac.digest(self.key, content, "sha256")
        texts = headers[name].split(" ")[:MAX_SIGNATURES]
        # All are compared, so that the time does not say which one is good.
        good = [
            hmac.compare_digest(_decoded(_from_base64, text.removeprefix("v1,")), expected)
            for text in texts
            if text.startswith("v1,")
        ]
        if not any(good):
            raise _mismatch((name,))


def _header(headers: Mapping[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if value := headers.get(name):
            return value
    raise SignatureError(f"A delivery of this source has the header {_shown(names[0])}.")


def _bytes(value: str) -> bytes:
    """The value of a header as it was sent."""
    return value.encode("latin-1", "replace")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _decoded(decode: Callable[[str], bytes], text: str) -> bytes:
    try:
        return decode(text)
    except ValueError:
        return b""


def _mismatch(names: tuple[str, ...]) -> SignatureError:
    return SignatureError(
        f"{_shown(names[0])} does not match the body and the secret of this source."
    )


def _shown(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
