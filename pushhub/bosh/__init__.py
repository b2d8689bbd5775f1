"""BOSH (XEP-0124, XEP-0206), pure: events in, actions out.

Nothing here does IO, reads a clock or draws a random number. The marks in brackets, such as [K3],
are the rules of docs/bosh.md, where each has its test.
"""
