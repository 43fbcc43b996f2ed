from datetime import UTC, datetime, timedelta

import pytest

from sensorflow import keys
from sensorflow.keys import Index, Keys, KeysError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def found(all_: Keys, shown: str, at: datetime = NOW) -> keys.Grant | None:
    return Index(keys.parse(keys.dump(all_).encode())).find(shown, at.timestamp())


def test_a_key_opens_what_it_was_made_for_and_nothing_else_does() -> None:
    all_, told = Keys().add("barn", ["write"], now=NOW, sensors=["barn-1"])

    grant = found(all_, told)

    assert grant is not None
    assert (grant.name, grant.covers("barn-1"), grant.covers("barn-2")) == ("barn", True, False)
    assert grant.scopes == {"write"}
    assert grant.secret_id == keys.secret_id(told)
    for wrong in (
        "",
        "sf",
        "sf_",
        told[:-1],
        told + "x",
        told[:-1] + "é",
        told.upper(),
        told.removeprefix("sf_"),
        "\udc80",
    ):
        assert found(all_, wrong) is None


def test_only_the_digest_is_kept() -> None:
    all_, told = Keys().add("barn", ["write"], now=NOW)

    assert told.split("_", 2)[2] not in keys.dump(all_)
    assert len(told) == 59


def test_no_two_secrets_are_the_same() -> None:
    assert len({Keys().add("a", ["read"], now=NOW)[1] for _ in range(100)}) == 100


def test_admin_may_everything() -> None:
    grant = found(*Keys().add("root", ["admin"], now=NOW))

    assert grant is not None
    assert grant.scopes == {"write", "read", "live", "admin"}


def test_an_expired_key_opens_nothing() -> None:
    all_, told = Keys().add("guest", ["read"], now=NOW, expires=NOW + HOUR)

    assert found(all_, told, NOW + HOUR - timedelta(seconds=1))
    assert not found(all_, told, NOW + HOUR)
    with pytest.raises(KeysError, match="'guest' has expired"):
        all_.rotate("guest", HOUR, now=NOW + HOUR)


def test_during_a_rotation_both_secrets_are_good_and_then_the_new_one() -> None:
    before, old = Keys().add("barn", ["write"], now=NOW)

    all_, new = before.rotate("barn", HOUR, now=NOW)

    assert found(all_, old)
    assert found(all_, new)
    assert not found(all_, old, NOW + HOUR)
    assert found(all_, new, NOW + HOUR)


def test_a_second_rotation_does_not_prolong_the_first_secret_and_forgets_what_has_ended() -> None:
    all_, first = Keys().add("barn", ["write"], now=NOW)
    all_, second = all_.rotate("barn", HOUR, now=NOW)

    all_, _ = all_.rotate("barn", 5 * HOUR, now=NOW + HOUR / 2)
    assert not found(all_, first, NOW + HOUR)
    assert found(all_, second, NOW + 2 * HOUR)

    all_, _ = all_.rotate("barn", timedelta(), now=NOW + 2 * HOUR)
    assert len(all_.find_name("barn").secrets) == 1


def test_a_revoked_key_is_gone_and_its_name_is_free_again() -> None:
    all_, told = Keys().add("barn", ["write"], now=NOW)

    all_, other = all_.revoke("barn").add("barn", ["read"], now=NOW)

    assert not found(all_, told)
    assert found(all_, other)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda all_: all_.add("barn", ["read"], now=NOW), "there is a key 'barn' already"),
        (lambda all_: all_.add("a b", ["read"], now=NOW), "name: String should match pattern"),
        (lambda all_: all_.add("API_KEY", ["read"], now=NOW), "API_KEY is the name of a setting"),
        (lambda all_: all_.add("x", [], now=NOW), "scopes: Tuple should have at least 1 item"),
        (lambda all_: all_.add("x", ["fly"], now=NOW), "scopes.0: Input should be 'write', 'read', 'live' or 'admin'"),
        (lambda all_: all_.add("x", ["read"], now=NOW, sensors=["#"]), "sensors.0: String should match pattern"),
        (lambda all_: all_.add("x", ["live"], now=NOW, sensors=["a"]), "live and admin are for all sensors"),
        (lambda all_: all_.add("x", ["read"], now=NOW, expires=NOW), "it would have expired already"),
        (lambda all_: all_.rotate("bran", HOUR, now=NOW), "no key 'bran'; there are: barn"),
        (lambda all_: all_.revoke("bran"), "no key 'bran'; there are: barn"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(change: object, complaint: str) -> None:
    all_, _ = Keys().add("barn", ["write"], now=NOW)
    assert callable(change)

    with pytest.raises(KeysError) as refusal:
        change(all_)

    assert complaint in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"version": 2, "keys": []}', "version: Input should be 1"),
        ('{"keys": [{"name": "a"}]}', "keys.0.scopes: Field required"),
        ('{"kays": []}', "kays: Extra inputs are not permitted"),
    ],
)
def test_a_broken_file_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(KeysError) as refusal:
        keys.parse(text.encode())

    assert complaint in str(refusal.value)


def test_a_name_or_a_secret_that_is_there_twice_is_refused() -> None:
    all_, _ = Keys().add("barn", ["write"], now=NOW)
    key = all_.keys[0]

    for twice in ((key, key), (key, key.model_copy(update={"name": "other"}))):
        text = Keys.model_construct(keys=twice).model_dump_json()
        with pytest.raises(KeysError, match="is there twice"):
            keys.parse(text.encode())


@pytest.mark.parametrize("shown", ["the boards enter by this", "sf_", "sf_zu kurz_x", "", "sf_\u0661" * 12])
def test_of_a_strange_secret_nothing_may_be_logged(shown: str) -> None:
    assert keys.secret_id(shown) == ""


def test_what_was_granted_is_taken_back_with_the_key() -> None:
    all_, told = Keys().add("barn", ["live"], now=NOW)
    grant = found(all_, told)
    assert grant is not None

    assert Index(all_).still_grants(grant, NOW.timestamp())
    assert not Index(all_.revoke("barn")).still_grants(grant, NOW.timestamp())
