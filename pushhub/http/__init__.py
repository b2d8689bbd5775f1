"""HTTP, pure: requests, responses, conditions and headers as RFC 9110 has them."""
