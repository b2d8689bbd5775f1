"""The fields `RateLimit-Policy` and `RateLimit`."""

from __future__ import annotations

import re

from pushhub.http.rate_limit_fields import rate_limit_fields


def test_a_quota_has_no_more_digits_than_a_structured_field_allows() -> None:
    """RFC 9651 §3.3.1: 15. `retained_bytes` may be 10^15."""
    for quota in (1, 10**15 - 1, 10**15):
        (_, policy), _ = rate_limit_fields("n", quota, "content-bytes", 0, 30)
        assert re.fullmatch(rb'"n";q=\d{1,15};qu="content-bytes"', policy)
