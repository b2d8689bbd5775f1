"""The reverse proxy in front of an origin: routes, exchanges, shared resources, and GRIP."""
