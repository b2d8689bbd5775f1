"""URLs for logs: without the values of parameters that carry a credential."""

from __future__ import annotations

from urllib.parse import unquote_plus

# pushhub's own are `ticket` and, in URLs that were made for other servers, `token`. The others are
# those of OAuth (RFC 6749, RFC 6750 §2.3), of signed URLs, and of APIs behind an origin.
SECRET_PARAMETERS = frozenset(
    {
        "access_token",
        "api_key",
        "apikey",
        "assertion",
        "auth",
        "authorization",
        "client_secret",
        "code",
        "id_token",
        "jwt",
        "key",
        "pass",
        "passwd",
        "password",
        "pushhub_token",
        "refresh_token",
        "secret",
        "session",
        "sid",
        "sig",
        "signature",
        "ticket",
        "token",
    }
)
REDACTED = "REDACTED"

# Longer URLs are cut in logs: a path with the longest channel name has 800 bytes.
MAX_LOGGED = 1024


def redacted_query(query: str) -> str:
    """A query string whose secret values are replaced, and cut. Names are compared as the server
    reads them: decoded, in any case, and also with a prefix, such as `X-Amz-Signature`.
    """
    return printable("&".join(map(_redacted_pair, query.split("&"))))


def printable(text: str) -> str:
    """The beginning of a path or query, with bytes that no URL has percent-encoded: none of them
    can forge a line or command a terminal.
    """
    cut = text[:MAX_LOGGED] + ("..." if len(text) > MAX_LOGGED else "")
    return "".join(
        character if "!" <= character <= "~" else _escaped(character) for character in cut
    )


def _redacted_pair(pair: str) -> str:
    name, equals, _ = pair.partition("=")
    plain = unquote_plus(name).strip().lower().replace("-", "_")
    if equals and (plain in SECRET_PARAMETERS or plain.rpartition("_")[2] in SECRET_PARAMETERS):
        return f"{name}={REDACTED}"
    return pair


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
