"""The packages of a release: how they are built and checked, and the tests of that."""
