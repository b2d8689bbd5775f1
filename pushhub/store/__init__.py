"""The stores of the log: memory, SQLite and Redis, behind one interface."""
