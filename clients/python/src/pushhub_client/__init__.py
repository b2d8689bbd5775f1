"""The Python client of pushhub: publish, subscribe, and pollers that wait. Sync and async."""

from .async_client import AsyncClient
from .async_polling import AsyncPoll, async_poll
from .async_subscription import AsyncSubscription
from .client import Client
from .core.wire import Item
from .cursors import CursorFileError
from .errors import HubUnreachable, InvalidResponse, Problem, PushhubError
from .http_sync import TokenError
from .messages import Event, Gap, Message, Receipt, Refusal, Representation, State, Value
from .polling import Poll, poll
from .subscription import Subscription
from .version import __version__

__all__ = [
    "AsyncClient",
    "AsyncPoll",
    "AsyncSubscription",
    "Client",
    "CursorFileError",
    "Event",
    "Gap",
    "HubUnreachable",
    "InvalidResponse",
    "Item",
    "Message",
    "Poll",
    "Problem",
    "PushhubError",
    "Receipt",
    "Refusal",
    "Representation",
    "State",
    "Subscription",
    "TokenError",
    "Value",
    "__version__",
    "async_poll",
    "poll",
]
