import re
from dataclasses import dataclass, field

from pushhub.auth.api_keys import ApiKeys, new_secret, secret_hash
from pushhub.log.grant import Action


@dataclass(frozen=True)
class Entry:
    name: str
    sha256: str
    read: list[str] = field(default_factory=list)
    publish: list[str] = field(default_factory=list)
    manage: list[str] = field(default_factory=list)


def test_a_secret_is_known_by_its_hash() -> None:
    mine, other = new_secret(), new_secret()
    keys = ApiKeys(
        [
            Entry("back end", secret_hash(mine), publish=["news:*"]),
            Entry("operator", secret_hash(other), manage=["*"]),
        ]
    )
    grant = keys.grant(mine)
    assert grant is not None
    assert grant.subject == "back end"
    assert grant.allows(Action.PUBLISH, "news:1")
    assert not grant.allows(Action.PUBLISH, "sport")
    assert not grant.allows(Action.READ, "news:1")
    assert not grant.is_admin
    assert grant.expires is None
    admin = keys.grant(other)
    assert admin is not None
    assert admin.is_admin
    assert len(keys) == 2
    assert repr(keys) == "<ApiKeys 2>"


def test_what_is_no_secret_is_not_known() -> None:
    secret = new_secret()
    keys = ApiKeys([Entry("a", secret_hash(secret), read=["*"])])
    for wrong in (
        "",
        "phk_",
        secret[:-1],
        secret + "A",
        new_secret(),
        "é" * 47,
        "phk_" + "\udcff" * 43,
        secret_hash(secret),
    ):
        assert keys.grant(wrong) is None


def test_new_secrets_are_256_random_bits() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"phk_[A-Za-z0-9_-]{43}", secret) for secret in made)
    assert new_secret(bytes) == "phk_" + "A" * 43


def test_the_hash_is_plain_sha256() -> None:
    # printf 'phk_AAA…' | sha256sum gives the same, so a key can be made without pushhub.
    assert secret_hash("phk_" + "A" * 43) == (
        "04e24b9ae0a068539ba0ef25847145d4dfe82c83e99462cbe832bd89b5f13a15"
    )
