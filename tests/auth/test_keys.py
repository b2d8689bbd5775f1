import re
from dataclasses import dataclass, field

from pushhub.auth.api_keys import ApiKeys, new_secret, secret_hash
from pushhub.auth.revocation import Revocation, RevocationKind, Revocations
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


# -- reloads -------------------------------------------------------------------


def test_a_reload_ends_the_grants_of_keys_that_left_or_differ() -> None:
    """Holds, streams and sessions ask their grant at each delivery."""
    secrets = {name: new_secret() for name in ("kept", "gone", "narrowed", "renamed")}
    entries = {
        name: Entry(name, secret_hash(secret), read=["a:*", "b:*"])
        for name, secret in secrets.items()
    }
    keys = ApiKeys(entries.values())
    before = {name: keys.grant(secret) for name, secret in secrets.items()}
    keys.configure(
        [
            Entry("kept", entries["kept"].sha256, read=["a:*", "b:*"]),
            Entry("narrowed", entries["narrowed"].sha256, read=["a:*"]),
            Entry("another", entries["renamed"].sha256, read=["a:*", "b:*"]),
        ]
    )
    ended = {name: grant is None or grant.has_ended(0.0) for name, grant in before.items()}
    assert ended == {"kept": False, "gone": True, "narrowed": True, "renamed": True}
    assert keys.grant(secrets["kept"]) is before["kept"]
    assert keys.grant(secrets["gone"]) is None
    narrowed, renamed = keys.grant(secrets["narrowed"]), keys.grant(secrets["renamed"])
    assert narrowed is not None
    assert renamed is not None
    assert not narrowed.has_ended(0.0)
    assert not narrowed.allows(Action.READ, "b:1")
    assert renamed.subject == "another"


def test_a_key_that_comes_back_does_not_revive_its_former_grants() -> None:
    secret = new_secret()
    entry = Entry("a", secret_hash(secret), read=["*"])
    keys = ApiKeys([entry])
    former = keys.grant(secret)
    keys.configure([])
    keys.configure([entry])
    present = keys.grant(secret)
    assert former is not None
    assert present is not None
    assert (former.has_ended(0.0), present.has_ended(0.0)) == (True, False)


def test_a_basis_is_found_by_its_id_in_every_process_with_these_keys() -> None:
    one, other = (Entry(name, secret_hash(new_secret()), read=["*"]) for name in "ab")
    here, there = ApiKeys([one, other]), ApiKeys([other, one])
    ids = {grant.basis.id for _, grant in here._grants.values() if grant.basis is not None}
    assert len(ids) == 2
    for id in ids:
        basis = there.basis(id)
        assert basis is not None
        assert basis.id == id
    there.configure([Entry(other.name, other.sha256, read=["a"])])
    assert [there.basis(id) for id in ids] == [None, None], "other rights are another basis"


def test_a_revocation_by_name_ends_the_grants_of_a_key() -> None:
    revocations = Revocations(lambda: 1000.0)
    secret = new_secret()
    keys = ApiKeys([Entry("leaked", secret_hash(secret), read=["*"])], revocations)
    grant = keys.grant(secret)
    assert grant is not None
    assert not grant.is_revoked
    entry = Revocation(RevocationKind.KEY, "leaked", 1000.0, None)
    revocations.take(entry.shard, revocations.value(entry.shard, b"", entry))
    for credential in revocations.in_use():
        revocations.mark(credential)
    assert grant.is_revoked
    assert repr(revocations) == "<Revocations 1 entries, 1 credentials>"
