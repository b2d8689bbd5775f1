"""What accounts keep in the log: registers, rosters, block lists and archives."""
