"""The key set of an identity provider (JWKS, RFC 7517): public keys that it replaces by itself.

Pure state: `jwks_source.py` reads the documents. A key that has left the document stays valid for a
grace, because its tokens are still on their way. A token with an unknown key id requests a refresh,
at most once in `UNKNOWN_SECONDS`, so that a flood of such tokens is no flood to the provider.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jwt

from pushhub.auth.verifying_key import VerifyingKey
from pushhub.log.grant import Basis

if TYPE_CHECKING:
    from collections.abc import Callable

# Providers publish one to four keys of a few kilobytes with their certificates.
MAX_JWKS_BYTES = 256 * 1024
MAX_JWKS_KEYS = 50
# A token without a key id is tried with so many keys: a verification takes 100 µs.
MAX_TRIED = 4
# The least time between two refreshes because of unknown key ids.
UNKNOWN_SECONDS = 30.0

# The algorithms of each type of key and its curve: a token cannot use another. `oct` is a shared
# secret, and no public document has one.
_ALGORITHMS = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
# Weaker ones can be forged (NIST SP 800-131A).
_RSA_BITS = 2048


class JwksError(ValueError):
    """The document is no key set that can be used; the message is a sentence."""


class Jwks:
    """The keys of one provider, and those that have left its document within the grace.

    Args:
        now: seconds since 1970.
        grace: how long a key stays valid after it has left the document, in seconds.
    """

    def __init__(self, now: Callable[[], float], grace: float) -> None:
        self._now = now
        self._grace = grace
        self._current: dict[tuple[str, str | None, bytes], VerifyingKey] = {}
        # With the time at which each ends.
        self._retired: dict[tuple[str, str | None, bytes], tuple[VerifyingKey, float]] = {}
        self._requested = -UNKNOWN_SECONDS
        self.is_pending = True
        """Whether a document is about to come, the first or another."""
        self.on_request: Callable[[], None] = lambda: None
        """Called when a refresh is requested."""
        self.on_end: Callable[[], None] = lambda: None
        """Called when the grants of a key have ended."""
        self._created = now()
        self.refreshed: float | None = None
        """The time of the last good document, in seconds since 1970."""
        self.fetches = {"ok": 0, "failed": 0}

    def valid(self) -> list[VerifyingKey]:
        """The keys that are valid now."""
        now = self._now()
        return [
            *self._current.values(),
            *(key for key, end in self._retired.values() if end > now),
        ]

    def replace(self, document: bytes) -> list[str]:
        """Take the keys of a new document. Returns a sentence for each key that came or left.

        Raises:
            JwksError: the document has no usable key; the present keys stay.
        """
        found = parse_jwks(document)
        now = self._now()
        before, self._current = self._current, {}
        for mark, key in found.items():
            retired = self._retired.pop(mark, (None, 0.0))[0]
            self._current[mark] = before.get(mark) or retired or key
        for mark, key in before.items():
            if mark not in found:
                self._retired[mark] = key, now + self._grace
        self._end_retired()
        self.refreshed, self.is_pending = now, False
        self.fetches["ok"] += 1
        came = {key.kid for mark, key in self._current.items() if mark not in before}
        left = {key.kid for mark, key in before.items() if mark not in found}
        return [
            *(f"The key {kid!r} came." for kid in sorted(came - left, key=str)),
            *(
                f"The key {kid!r} left, and is valid for {self._grace:g} s."
                for kid in sorted(left, key=str)
            ),
        ]

    def renew(self) -> None:
        """End the grants of all tokens so far: their audience or issuer is no longer valid. The
        keys stay.
        """
        for key in self.valid():
            key.basis.ended = True
        self._current = {mark: replace(key, basis=Basis()) for mark, key in self._current.items()}
        self._retired = {
            mark: (replace(key, basis=Basis()), end) for mark, (key, end) in self._retired.items()
        }

    def failed(self) -> None:
        """A document could not be read: the keys stay, for their grace if they have left before."""
        self._end_retired()
        self.is_pending = False
        self.fetches["failed"] += 1

    def _end_retired(self) -> None:
        """End the grants of the keys whose grace is over, and of the oldest beyond a bound."""
        now, ended = self._now(), False
        for mark, (key, end) in list(self._retired.items()):
            if end <= now or len(self._retired) > MAX_JWKS_KEYS * len(_ALGORITHMS):
                key.basis.ended = ended = True
                del self._retired[mark]
        if ended:
            self.on_end()

    @property
    def age(self) -> float:
        """Seconds since the last good document, or since the start."""
        return self._now() - (self._created if self.refreshed is None else self.refreshed)

    def request(self) -> bool:
        """Request a refresh, because of an unknown key id. Whether one is coming."""
        now = self._now()
        if not self.is_pending and abs(now - self._requested) >= UNKNOWN_SECONDS:
            self._requested = now
            self.is_pending = True
            self.on_request()
        return self.is_pending

    def __len__(self) -> int:
        return len({key.material for key in self.valid()})

    def __repr__(self) -> str:
        return f"<Jwks {len(self)} keys>"


def parse_jwks(document: bytes) -> dict[tuple[str, str | None, bytes], VerifyingKey]:
    """The usable keys of a document. Keys for encryption, and of unknown types, are left out.

    Raises:
        JwksError: it is no key set, or has no usable key.
    """
    if len(document) > MAX_JWKS_BYTES:
        raise JwksError(f"The key set is larger than {MAX_JWKS_BYTES} bytes.")
    try:
        entries = json.loads(document)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise JwksError("The document is no key set: JSON with the list 'keys'.") from None
    if not isinstance(entries, list) or len(entries) > MAX_JWKS_KEYS:
        raise JwksError(f"'keys' is a list of at most {MAX_JWKS_KEYS} keys.")
    found = {
        (key.algorithm, key.kid, key.material): key
        for entry in entries
        if isinstance(entry, dict)
        for key in _verifying_keys(entry)
    }
    if not found:
        raise JwksError("The key set has no public key that verifies tokens.")
    return found


def _verifying_keys(entry: dict[str, Any]) -> list[VerifyingKey]:
    """One key for each algorithm that the entry may be used with."""
    kid, operations = entry.get("kid"), entry.get("key_ops")
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= 255):
        return []
    if entry.get("use", "sig") != "sig" or "d" in entry:
        return []
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return []
    kind = entry.get("kty")
    curve = None if kind == "RSA" else entry.get("crv")
    if not isinstance(kind, str) or not (curve is None or isinstance(curve, str)):
        return []
    algorithms = _ALGORITHMS.get((kind, curve), ())
    stated = entry.get("alg")
    keys = []
    for algorithm in algorithms:
        if stated is not None and stated != algorithm:
            continue
        try:
            key = jwt.PyJWK(entry, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            return []
        if kind == "RSA" and key.key_size < _RSA_BITS:
            return []
        public = {name: entry[name] for name in ("kty", "crv", "n", "e", "x", "y") if name in entry}
        material = json.dumps(public, sort_keys=True).encode()
        keys.append(VerifyingKey(algorithm, kid, key, material))
    return keys
