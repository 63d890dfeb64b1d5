"""Secrets that change while the application runs: the same machine key while they are the same, another one after."""

import secrets

import pytest

from sharedsession import ConfigurationError, MachineKey
from sharedsession.keys import ReloadingKey


def test_the_key_is_one_object_while_the_secrets_stay() -> None:
    """What it remembers, as the tokens that it has recognised, is good until a secret changes."""
    old, new = MachineKey.generate(), MachineKey.generate()
    kept = [old]
    key = ReloadingKey(lambda: tuple(kept), app_name="a", development=False)
    first = key()
    assert key() is first
    kept[:] = [old.encode().decode()]  # an equal text, as a settings module that is read again has
    assert key() is first
    kept[:] = [new, old]
    second = key()
    assert second is not first
    assert second.fingerprints() == [*MachineKey(new, app_name="a").fingerprints(), *first.fingerprints()]
    token = first.new_identity(secrets.token_bytes(16)).token.encode()
    assert second.verify(token) is not None
    kept[:] = [new]
    assert key().verify(token) is None


def test_a_weak_secret_is_refused_under_the_framework_s_name() -> None:
    """At once, and again at each use until it is mended."""
    key = ReloadingKey(lambda: ("changeme",), app_name="a", development=False, named=str.upper)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"^SECRET_KEY "):
            key()
