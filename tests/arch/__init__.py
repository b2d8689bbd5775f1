"""Tests of the code itself: its shape, not what it does."""
