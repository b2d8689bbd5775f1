"""The operator's console: its routes, its agent in each process, and traces."""
