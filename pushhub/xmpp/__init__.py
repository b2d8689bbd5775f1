"""A small XMPP server on the hub: accounts, chat, presence, archives and PubSub.

The layers, each above those that it may import: `server` (the composition root), `transport`,
`cluster`, `xep`, `routing`, `context` and `sasl`, `storage`, `model`. Streams know no transport:
BOSH is one, a WebSocket would be another.
"""
