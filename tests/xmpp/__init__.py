"""Tests of the XMPP server, played through a transport of the tests' own."""
