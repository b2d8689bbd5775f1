"""An identity provider: key sets as they are published, tokens that it signs, and its server."""

import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.ports import free_port

RSA = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
P256 = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(private: Any, kid: str | None, **members: Any) -> dict[str, Any]:
    """The public key as providers publish it."""
    public = private.public_key()
    algorithm: Any = RSAAlgorithm
    if isinstance(private, ec.EllipticCurvePrivateKey):
        algorithm = ECAlgorithm
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        algorithm = OKPAlgorithm
    entry: dict[str, Any] = {**algorithm.to_jwk(public, as_dict=True), "use": "sig", **members}
    entry.pop("key_ops", None) if "key_ops" not in members else None
    return entry if kid is None else {**entry, "kid": kid}


def key_set(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(entries)}).encode()


def token(private: Any, kid: str | None, algorithm: str = "RS256", **claims: Any) -> str:
    content = {
        "exp": time.time() + 600,
        "iss": "https://idp.test/",
        "aud": "hub",
        "pushhub": {"read": ["*"]},
        **claims,
    }
    return jwt.encode(content, private, algorithm, {"kid": kid} if kid else None)


class Provider:
    """An HTTP server with one document, that counts its requests. It has a thread of its own,
    because a test waits for the start of a hub without its event loop.
    """

    def __init__(self) -> None:
        self.response = b""
        self.requests = 0
        self.stalls = False
        self.port = free_port()
        self._server: socketserver.ThreadingTCPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks"

    def serve(self, body: bytes, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        self.response = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def start(self) -> None:
        provider = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass
                provider.requests += 1
                try:
                    self.wfile.write(provider.response)
                    if provider.stalls:
                        self.rfile.read()  # until the client gives up
                except ConnectionError:
                    pass

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Listener(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def provider(body: bytes) -> Iterator[Provider]:
    idp = Provider()
    idp.serve(body)
    idp.start()
    try:
        yield idp
    finally:
        idp.stop()
