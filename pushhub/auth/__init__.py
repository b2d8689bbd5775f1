"""Credentials and the grants that they give: API keys, tokens and tickets.

Everything here is synchronous except for the reads of a key set (`jwks_source.py`), and the clock
is passed in.
"""

from pushhub.auth.authenticator import Authenticator
from pushhub.auth.tickets import Tickets
from pushhub.auth.tokens import TokenKeyError

__all__ = ["Authenticator", "Tickets", "TokenKeyError"]
