"""BOSH (XEP-0124, XEP-0206), pure: events in, actions out.

No I/O, no clock, no randomness. The marks in brackets, such as [K3], are the rules of docs/bosh.md,
where each has its test.
"""
