"""Polls, pure: each kind of read that may wait, and its responses."""
