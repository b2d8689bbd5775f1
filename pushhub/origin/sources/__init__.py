"""Sources of notifications that pushhub reads by itself: databases and files."""
