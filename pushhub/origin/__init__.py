"""The REST server behind pushhub: proxying, shared resources and GRIP."""
