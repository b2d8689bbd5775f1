"""An XMPP server on the hub: accounts, chat, presence, archives and PubSub.

It knows no transport. A transport (BOSH, later WebSocket) opens a `Stream`, gives it elements and
writes those that come back.
"""
