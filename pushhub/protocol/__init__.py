"""The contract, pure: bytes and dataclasses in, bytes and dataclasses out.

Nothing here does IO, reads a clock or draws a random number; `now` is a parameter where time
matters.
"""
