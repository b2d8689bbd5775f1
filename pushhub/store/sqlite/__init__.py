"""A log in one SQLite file: one writer thread, one reader thread."""
