"""Sessions on several nodes: membership, forwarding, migration and garbage collection."""
