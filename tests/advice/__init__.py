"""Advice for polled APIs."""
