"""XMPP's data, pure: addresses, stanzas and namespaces."""
