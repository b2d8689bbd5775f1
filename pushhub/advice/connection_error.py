"""Why no connection to an origin can be made, as a sentence with the remedy.

The origin's client tells visitors as little as possible. An operator who runs a command needs the
reason: this module tries one more connection, and names what is wrong.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from urllib.parse import urlsplit

SECONDS = 5.0


async def connection_error(target: str) -> str:
    """The sentence for `scheme://host:port`; empty if a connection can be made."""
    url = urlsplit(target)
    host, tls = url.hostname or "", url.scheme == "https"
    port = url.port or (443 if tls else 80)
    place = f"{host}:{port}"
    context = ssl.create_default_context() if tls else None
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return (
            f"The certificate of {place} is not accepted: {error.verify_message}. For an authority "
            "of your own set SSL_CERT_FILE to its certificate."
        )
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).replace("_", " ").lower()
        return f"TLS with {place} fails: {reason}. Does it speak https on this port?"
    except socket.gaierror:
        return f"There is no host {host!r}."
    except TimeoutError:
        return f"{place} does not accept a connection within {SECONDS:g} s."
    except ConnectionRefusedError:
        return f"Nothing listens on {place}."
    except (OSError, ValueError) as error:
        return f"{place} cannot be reached: {getattr(error, 'strerror', None) or error}."
    writer.close()
    return ""
