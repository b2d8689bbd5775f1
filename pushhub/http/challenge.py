"""The challenges of a 401 or 403 (RFC 6750 §3).

Basic is accepted, but no challenge offers it: browsers would show a dialogue.
"""

from __future__ import annotations

CHALLENGE = ((b"www-authenticate", b'Bearer realm="pushhub"'),)
INVALID_TOKEN = ((b"www-authenticate", b'Bearer realm="pushhub", error="invalid_token"'),)
INSUFFICIENT_SCOPE = ((b"www-authenticate", b'Bearer realm="pushhub", error="insufficient_scope"'),)
