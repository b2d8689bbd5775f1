"""pushhub at home in frameworks that have a process of their own."""
