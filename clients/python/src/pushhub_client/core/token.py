"""How long a token is good. The token itself is the user's."""

import base64
import json
import math

# A tenth before its end, because clocks differ and requests take time.
_USED_SHARE = 0.9


def expiry(token: str) -> float | None:
    """The end of a JWT in seconds since 1970 (RFC 7519 §4.1.4); None if there is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = claims["exp"]
    except (ValueError, IndexError, KeyError, TypeError):
        return None
    return float(end) if isinstance(end, int | float) else None


class TokenLife:
    """When a token that a callable returned has to be renewed."""

    __slots__ = ("_good_until", "token")

    def __init__(self) -> None:
        self.token: str | None = None
        self._good_until = -math.inf

    def needed(self, now: float) -> bool:
        """Whether the callable has to be called before the next request.

        Args:
            now: seconds since 1970.
        """
        return now > self._good_until

    def renewed(self, token: str, now: float) -> None:
        """The callable returned this token."""
        self.token = token
        end = expiry(token)
        # Without an end, or with one that seems to be over because this clock is wrong, the token
        # is good until the hub refuses it.
        life = _USED_SHARE * (end - now) if end is not None else 0.0
        self._good_until = now + life if life > 0 else math.inf

    def refused(self) -> None:
        """The hub responded with 401."""
        self._good_until = -math.inf
