"""GRIP between an origin and the hub: held responses and streams."""
