"""Several nodes on one store: membership, routing, forwarding, migration and garbage collection."""
