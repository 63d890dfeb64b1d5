"""One memcached, or a proxy, that is asked by the classic text protocol: what it does not tell is asked for twice."""

from collections.abc import Sequence

from sharedsession.backends.base import Ended, Read, Stored
from sharedsession.backends.memcached import text
from sharedsession.backends.memcached.node import MemcachedStore
from sharedsession.backends.wire.deadline import Deadline
from sharedsession.backends.wire.protocol import Request


class TextStore(MemcachedStore):
    """The operations over the text protocol, whose replies name no request, except that a value names its key."""

    async def get(self, key: str, touch: float | None, timeout: float) -> Stored | Ended | None:
        """Same as `Backend.get`. An absence is confirmed, since the reply may belong to another request."""
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + timeout)
        found = await super().get(key, touch, timeout)
        if found is None and not await self._is_absent(key, deadline.left()):
            return await self.get_afresh(key, Stored(b"", None), deadline.left())
        return found

    async def get_afresh(self, key: str, doubted: Stored, timeout: float) -> Stored | Ended | None:
        """Same as `DoubtingBackend.get_afresh`."""
        reply, serial = await self._client.ask_afresh(self._request(text.get, key, None, None), timeout)
        found = await self._found(key, reply, serial, None, timeout)
        if not isinstance(found, Stored) or found.value != doubted.value:
            self._client.close()
        return found

    async def get_many(self, reads: Sequence[Read], timeout: float) -> list[Stored | Ended | None]:
        """Same as `BatchingBackend.get_many`; an absence is confirmed."""
        deadline = Deadline(self._monotonic, timeout, self._monotonic() + timeout)
        found = await super().get_many(reads, timeout)
        for at, read in enumerate(reads):
            if found[at] is None and not await self._is_absent(read.key, deadline.left()):
                found[at] = await self.get_afresh(read.key, Stored(b"", None), deadline.left())
        return found

    async def _is_absent(self, key: str, timeout: float) -> bool:
        reply, _ = await self._client.ask(Request(text.confirm_absence(key), (text.answers, key, 0)), timeout)
        if reply.status == b"EX":
            return False
        self._expect(reply, b"NF")
        return True
