"""A store of each kind."""

from tests.store.fixtures import clock, lab, listener, store

__all__ = ["clock", "lab", "listener", "store"]
