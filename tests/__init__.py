"""Tests of pushhub; the folders mirror the package."""
