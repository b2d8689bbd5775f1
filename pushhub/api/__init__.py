"""The HTTP API: one module for each endpoint, and the table of all."""
