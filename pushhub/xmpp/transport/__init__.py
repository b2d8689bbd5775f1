"""BOSH sessions, and the XMPP streams that they carry."""
