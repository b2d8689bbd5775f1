import jwt
import pytest

from pushhub.auth.grip_signature import GripKey, grip_key
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
from pushhub.auth.tokens import TokenError, TokenKeyError, TokenRevoked
from pushhub.log.grant import Action

SECRET = "0123456789abcdef0123456789abcdef"


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def token(secret: str = SECRET, **claims: object) -> str:
    return jwt.encode(claims, secret, algorithm="HS256")


def test_a_signature_is_good_for_an_hour_and_made_once_a_minute() -> None:
    clock = Clock()
    key = GripKey(SECRET, "me", clock)
    sig = key.sig()
    options = {"verify_exp": False}
    claims = jwt.decode(sig, SECRET, algorithms=["HS256"], options=options)  # type: ignore[arg-type]
    assert claims == {"iss": "me", "exp": 1_003_600}
    clock.now += 59
    assert key.sig() is sig
    clock.now += 1
    assert key.sig() != sig
    # A clock that is set back: a signature of the future is of no use.
    clock.now -= 3600
    claims = jwt.decode(key.sig(), SECRET, algorithms=["HS256"], options=options)  # type: ignore[arg-type]
    assert claims["exp"] == 1_000_060


def test_a_publisher_publishes_everywhere_and_nothing_else() -> None:
    clock = Clock()
    grant = GripKey(SECRET, "me", clock).publisher(token(iss="you", exp=1_000_060))
    assert grant.allows(Action.PUBLISH, "any")
    assert not grant.allows(Action.READ, "any")
    assert not grant.allows(Action.PUBLISH, "$own")
    assert (grant.subject, grant.expires) == ("you", 1_000_060)


def test_a_revoked_publishers_token_is_refused() -> None:
    clock = Clock()
    revocations = Revocations(clock)
    key = GripKey(SECRET, "me", clock, revocations)
    made = token(iss="you", jti="one", exp=1_000_060)
    grant = key.publisher(made)
    revocation = Revocation(RevocationKind.TOKEN, "one", clock.now, 1_000_060.0)
    revocations.take(revocation.shard, revocations.value(revocation.shard, b"", revocation))
    for credential in revocations.in_use():
        revocations.mark(credential)
    assert grant.has_ended(clock.now)
    with pytest.raises(TokenRevoked):
        key.publisher(made)
    key.publisher(token(iss="you", jti="two", exp=1_000_060))


def test_the_signature_for_origins_is_no_publishers_token() -> None:
    """Every origin sees it, and an origin may echo it to clients."""
    key = GripKey(SECRET, "me", Clock())
    with pytest.raises(TokenError, match=r"'me'.*grip_issuer.*grip_key"):
        key.publisher(key.sig().decode())


@pytest.mark.parametrize(
    "bad",
    [
        token("another secret of at least 32 bytes", exp=1_000_060),
        token(exp=999_999),
        token(iss="no exp"),
        jwt.encode({"exp": 1_000_060}, "", algorithm="none"),
        "garbage",
    ],
)
def test_an_invalid_signature_is_refused(bad: str) -> None:
    with pytest.raises(TokenError):
        GripKey(SECRET, "me", Clock()).publisher(bad)


def test_a_binary_secret() -> None:
    key = GripKey("base64:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "me", Clock())
    assert key.publisher(token(exp=1_000_060))
    assert repr(key) == "<GripKey>"


@pytest.mark.parametrize("text", ["short", "base64:!", "base64:", "base64:c2hvcnQ="])
def test_a_secret_that_protects_nothing_is_refused(text: str) -> None:
    with pytest.raises(TokenKeyError):
        GripKey(text, "me", Clock())


def test_without_a_secret_there_is_no_key() -> None:
    class Policy:
        grip_key: str | None = None
        grip_issuer = "me"

    policy = Policy()
    assert grip_key(policy, Clock()) is None
    policy.grip_key = SECRET
    assert grip_key(policy, Clock()) is not None
