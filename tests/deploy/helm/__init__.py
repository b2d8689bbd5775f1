"""Helm in an environment of its own: the lock, its setup and the process that renders."""
