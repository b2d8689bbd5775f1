"""Strophe.js, which the tests did not write, against a real server."""
