"""Where the log lives: in memory, in one SQLite file, or in Redis. All keep the promises of `base.Store`."""
