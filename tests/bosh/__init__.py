"""Tests of BOSH: the state machine alone, on a manual clock."""
