"""The data of accounts in the log: key-value pairs, rosters, block lists and archives."""
