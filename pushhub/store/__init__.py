"""Where the log lives: in memory, in one SQLite file, or in Redis."""
