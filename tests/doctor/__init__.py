"""Tests of pushhub/doctor/."""
