"""A record that changes while it is left for another: tried again, told of a logout, and given up in time."""

import pytest

from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.wire.superseding import leave
from sharedsession.concurrency.driver import run
from sharedsession.errors import BackendUnavailable


class Store:
    """A record that others change so many times, until somebody ends it."""

    def __init__(self, changes, end=None):
        self.versions = iter(range(1, changes + 1))
        self.version = 0
        self.end = end

    async def bury_if(self, version, _within):
        self.version = next(self.versions, self.version)
        return version == self.version and self.end is None

    async def get(self, _within):
        return Stored(b"", self.version) if self.end is None else self.end[0]


@pytest.mark.parametrize("changes", [0, 1, 5])
def test_it_is_left_however_often_it_changed(changes):
    """Each look brings the version to try with."""
    store = Store(changes)
    assert run(leave(store.bury_if, store.get, 0, 5.0)) is True


@pytest.mark.parametrize(("end", "told"), [([None], False), ([Ended(b"moved")], True)])
def test_a_logout_is_told_from_another_new_id(end, told):
    """The one leaves nothing, the other its note."""
    store = Store(1, end)
    assert run(leave(store.bury_if, store.get, 0, 5.0)) is told


def test_a_record_that_never_stands_still_is_given_up():
    """After twice the time of a step nobody knows whether the record was left."""
    store = Store(10**9)
    with pytest.raises(BackendUnavailable, match="in time"):
        run(leave(store.bury_if, store.get, 0, 0.01))
