"""`pushhub conformance`, with clients that conform and clients that do not."""
