"""The Python client of pushhub: publish, subscribe, and pollers that wait. Sync and async."""

from .async_client import AsyncClient
from .async_subscription import AsyncSubscription
from .client import Client
from .core.wire import Item
from .cursors import CursorFileError
from .errors import HubUnreachable, InvalidResponse, Problem, PushhubError
from .http_sync import TokenError
from .messages import Event, Gap, Message, Receipt, Refusal, State, Value
from .subscription import Subscription
from .version import __version__

__all__ = [
    "AsyncClient",
    "AsyncSubscription",
    "Client",
    "CursorFileError",
    "Event",
    "Gap",
    "HubUnreachable",
    "InvalidResponse",
    "Item",
    "Message",
    "Problem",
    "PushhubError",
    "Receipt",
    "Refusal",
    "State",
    "Subscription",
    "TokenError",
    "Value",
    "__version__",
]
