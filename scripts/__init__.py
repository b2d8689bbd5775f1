"""Programs for those who work on pushhub."""
