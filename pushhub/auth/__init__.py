"""Authentication and grants: API keys, tokens and tickets.

Everything here is synchronous, and the clock is passed in.
"""

from pushhub.auth.authenticator import Authenticator
from pushhub.auth.tickets import Tickets
from pushhub.auth.tokens import TokenKeyError

__all__ = ["Authenticator", "Tickets", "TokenKeyError"]
