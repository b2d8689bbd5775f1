"""GRIP, pure: what origins instruct, what publishers send, and the polls of both."""
