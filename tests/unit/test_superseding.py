"""A record that changes while it is superseded: tried again, told from a logout, and given up in time."""

import math
import time

import pytest

from sharedsession.backends.base import Ended, Stored
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.superseding import supersede
from sharedsession.concurrency import run
from sharedsession.errors import BackendUnavailable


class Store:
    """A record that others change so many times, until it is ended."""

    def __init__(self, changes, end=None):
        self.versions = iter(range(1, changes + 1))
        self.version = 0
        self.end = end

    async def write_tombstone_if(self, version, _timeout):
        self.version = next(self.versions, self.version)
        return version == self.version and self.end is None

    async def get(self, _timeout):
        return Stored(b"", self.version) if self.end is None else self.end[0]


def until(seconds):
    """All steps together may take so long."""
    return Deadline(time.monotonic, math.inf, time.monotonic() + seconds)


@pytest.mark.parametrize("changes", [0, 1, 5])
def test_it_is_superseded_however_often_it_changed(changes):
    """Each read brings the version to try with."""
    store = Store(changes)
    assert run(supersede(store.write_tombstone_if, store.get, 0, until(5.0))) is True


@pytest.mark.parametrize(("end", "result"), [([None], False), ([Ended(b"moved")], True)])
def test_a_logout_is_told_from_another_new_id(end, result):
    """The one leaves nothing, the other its note."""
    store = Store(1, end)
    assert run(supersede(store.write_tombstone_if, store.get, 0, until(5.0))) is result


def test_a_record_that_never_stands_still_is_given_up():
    """When the time is up it is unknown whether the record was superseded."""
    store = Store(10**9)
    with pytest.raises(BackendUnavailable, match="in time"):
        run(supersede(store.write_tombstone_if, store.get, 0, until(0.02)))
