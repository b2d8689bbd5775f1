"""The configured webhooks: who signs `POST /v1/notify?source=NAME`, and for which resources."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from pushhub.http.challenge import CHALLENGE
from pushhub.http.problem import Problem
from pushhub.http.webhook_signature import SignatureError, WebhookSignature, webhook_key
from pushhub.origin.shared.scope import NotificationScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pushhub.http.request import Request
    from pushhub.settings.change_source import ChangeSource

# As many bytes as a collision-free name of a delivery needs.
_KEY_BYTES = 16


class Webhook:
    """A source of signed notifications, and the resources that it may notify."""

    __slots__ = ("_scope", "_signature", "name", "resources")

    def __init__(self, source: ChangeSource) -> None:
        assert source.signature is not None
        self.name = source.name
        self.resources = list(source.resources)
        self._signature = WebhookSignature(
            source.signature, webhook_key(source.signature, source.secret_text())
        )
        self._scope = NotificationScope(source.resources)

    def check_head(self, request: Request, now: float) -> None:
        """Check the headers of a delivery whose body has not been read.

        Raises:
            Problem: 401, the headers cannot belong to a delivery of this source.
        """
        try:
            self._signature.check_head(request.headers, now)
        except SignatureError as error:
            raise _refused(str(error)) from None

    def check(self, request: Request, now: float) -> str:
        """Check the signature of a delivery; returns its id, or an empty text.

        Raises:
            Problem: 401, the source has not signed it.
        """
        try:
            return self._signature.check(request.headers, request.body, now)
        except SignatureError as error:
            raise _refused(str(error)) from None

    def require(self, resource: str) -> None:
        """Return if the source may notify a resource.

        Raises:
            Problem: 403.
        """
        if not self._scope.covers(resource):
            raise Problem(
                "forbidden",
                f"The source {self.name!r} may notify {', '.join(self.resources)}; not "
                f"{resource!r}.",
            )

    def idempotency_key(self, delivery: str, resources: list[str]) -> str:
        """The name of a delivery for these resources, which its repetitions share. A sender gives
        one id to the deliveries of a message to several URLs.
        """
        if not delivery:
            return ""
        text = "\0".join((self.name, delivery, *resources))
        return "webhook:" + blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest()


def webhooks_of(sources: Sequence[ChangeSource]) -> dict[str, Webhook]:
    """The webhooks of the settings, by their names."""
    return {source.name: Webhook(source) for source in sources if source.kind == "webhook"}


def unknown_source() -> Problem:
    """The problem of a delivery from a source that is not configured."""
    return _refused("This server has no webhook of this name in its setting 'sources'.")


def _refused(detail: str) -> Problem:
    return Problem("unauthorized", detail, headers=CHALLENGE)
