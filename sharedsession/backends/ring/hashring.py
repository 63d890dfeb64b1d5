"""Where a key lives: a consistent-hash ring, key -> nodes in the order of preference. Pure.

Three layouts. ``native``: a node's points depend on its own name and weight alone, so a change of one node moves no
key between two others. ``ketama`` and ``ketama_weighted``: libmemcached's, to the bit, so that any of its clients
with the same list finds the same node; there the points of one node depend on all weights. Where all weights
are 1, ``native`` is ``ketama_weighted``.
"""

import math
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5
from itertools import chain, islice

LAYOUTS = ("native", "ketama", "ketama_weighted")

MOST_NODES = 16
"""The most nodes that one key is looked for on."""
_STRINGS = 40  # hashed by MD5 to four points each: libmemcached's MEMCACHED_POINTS_PER_SERVER_KETAMA is 160
_PLAIN_POINTS = 100  # hashed by one-at-a-time to one point each: MEMCACHED_POINTS_PER_SERVER


@dataclass(frozen=True, slots=True)
class Place:
    """A node as the ring sees it.

    Attributes:
        name: what the points are made of. Keys follow the name, not the address.
        weight: how many times the share of a node of weight 1 it takes.
    """

    name: str
    weight: int = 1


class HashRing:
    """A ring of nodes.

    Args:
        places: the nodes, in the order of the configuration.
        layout: ``"native"``, ``"ketama"`` or ``"ketama_weighted"``.
    """

    def __init__(self, places: Sequence[Place], layout: str = "native") -> None:
        self.places = tuple(places)
        self.layout = layout
        self._most = min(MOST_NODES, len(self.places))
        points = sorted(_points(self.places, layout))
        self._values = [value for value, _ in points]
        self._owners = [index for _, index in points]
        self._orders: dict[int, tuple[int, ...]] = {}
        self._hash = _one_at_a_time if layout == "ketama" else _md5_word

    def order(self, key: str) -> tuple[int, ...]:
        """Returns the indices of the nodes in the order in which a key prefers them, its owners first: 16 at most.

        Of a key with a part in braces that part is hashed, as Redis Cluster and twemproxy's ``hash_tag`` do.
        """
        point = bisect_left(self._values, self._hash(_hashed_part(key).encode()))
        order = self._orders.get(point)
        return order if order is not None else self._walk(point)

    def fingerprint(self) -> str:
        """Returns a text that is equal on two web nodes if and only if their rings are."""
        text = repr((self.layout, sorted((place.name, place.weight) for place in self.places)))
        return _md5(text.encode()).hex()[:12]

    def shares(self) -> list[float]:
        """Returns the share of all keys that each node is the first owner of; the shares add up to 1."""
        shares = [0.0] * len(self.places)
        previous = self._values[-1] - 2**32
        for value, owner in zip(self._values, self._owners, strict=True):
            shares[owner] += (value - previous) / 2**32
            previous = value
        return shares

    def _walk(self, point: int) -> tuple[int, ...]:
        """Goes round the ring from a point, once; each node takes the place where it is met first."""
        met: dict[int, None] = {}
        for owner in chain(islice(self._owners, point, None), self._owners):
            met.setdefault(owner)
            if len(met) == self._most:
                break
        order = self._orders[point] = tuple(met)
        return order


def _hashed_part(key: str) -> str:
    """Returns what is between the first brace and the next closing one, unless that is nothing; else the whole key."""
    start = key.find("{") + 1
    if not start:
        return key
    end = key.find("}", start)
    return key[start:end] if end > start else key


def _points(places: Sequence[Place], layout: str) -> list[tuple[int, int]]:
    weighted = any(place.weight != 1 for place in places)
    if layout == "native":
        counts = [_STRINGS * place.weight for place in places]
    elif layout == "ketama" and not weighted:
        return [
            (_one_at_a_time(f"{place.name}-{number}".encode()), index)
            for index, place in enumerate(places)
            for number in range(_PLAIN_POINTS)
        ]
    else:
        counts = _libmemcached_counts([place.weight for place in places])
    return [
        (value, index)
        for index, (place, count) in enumerate(zip(places, counts, strict=True))
        for number in range(count)
        for value in struct.unpack("<4I", _md5(f"{place.name}-{number}".encode()))
    ]


def _libmemcached_counts(weights: Sequence[int]) -> list[int]:
    """Returns the number of strings of each server, in the single-precision arithmetic of libmemcached/hosts.cc."""
    return [_libmemcached_count(weight, sum(weights), len(weights)) for weight in weights]


def _libmemcached_count(weight: int, total: int, servers: int) -> int:
    share = _single(_single(weight) / _single(total))
    strings = _single(_single(share * 4 * _STRINGS) / 4)
    return math.floor(_single(strings * servers))  # it adds 1e-10, which is lost in single precision


def _single(number: float) -> float:
    (single,) = struct.unpack("<f", struct.pack("<f", number))
    return float(single)


def _md5(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def _md5_word(data: bytes) -> int:
    return int.from_bytes(_md5(data)[:4], "little")


def _one_at_a_time(data: bytes) -> int:
    """Returns Jenkins' one-at-a-time hash. libmemcached reads bytes as signed, so keys must be ASCII."""
    value = 0
    for byte in data:
        value = (value + byte) & 0xFFFFFFFF
        value = (value + (value << 10)) & 0xFFFFFFFF
        value ^= value >> 6
    value = (value + (value << 3)) & 0xFFFFFFFF
    value ^= value >> 11
    return (value + (value << 15)) & 0xFFFFFFFF
