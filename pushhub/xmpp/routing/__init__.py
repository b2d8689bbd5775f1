"""Routing of stanzas: sessions, local users, and the routers of messages, presence and iqs."""
