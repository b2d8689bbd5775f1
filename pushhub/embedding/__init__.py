"""pushhub inside a Python application: publish, subscribe, and endpoints that may wait."""
