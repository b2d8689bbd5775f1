"""Tests of BOSH: the state machine by itself, on a clock that is turned by hand."""
