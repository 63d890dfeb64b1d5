"""Where keys live: libmemcached's own vectors, and what a change of the nodes may move."""

from collections import Counter
from collections.abc import Sequence
from hashlib import md5
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharedsession.backends.ring import hashring
from sharedsession.backends.ring.hashring import LAYOUTS, HashRing, Place

KEYS = [f"ss:{number:043d}" for number in range(5_000)]
EIGHT = tuple("abcdefgh")


def ring_of(*names: str, layout: str = "native", weights: Sequence[int] = ()) -> HashRing:
    chosen = weights or [1] * len(names)
    return HashRing([Place(name, weight) for name, weight in zip(names, chosen, strict=True)], layout)


def owner(ring: HashRing, key: str) -> str:
    """The name of the node that a key prefers."""
    return ring.places[ring.order(key)[0]].name


def moved(old: HashRing, new: HashRing) -> Counter[tuple[str, str]]:
    """How many of the keys go from which node to which other."""
    pairs = ((owner(old, key), owner(new, key)) for key in KEYS)
    return Counter(pair for pair in pairs if pair[0] != pair[1])


# -- libmemcached's vectors

# key, one-at-a-time, first word of MD5, and the node: four on other ports (ketama, weighted), three on the default one
VECTORS = [
    ("sess:alice", 282231147, 954540645, 3, 3, 0, 0),
    ("sess:bob", 3160354931, 4273201495, 3, 2, 2, 1),
    ("sess:carol", 3651360494, 2828547212, 0, 2, 2, 0),
    ("sess:0001", 2777063601, 2728907836, 1, 2, 0, 1),
    ("sess:0002", 1687625423, 448288156, 0, 0, 2, 0),
    ("abc00000000000000000000000000", 3349041873, 321423327, 3, 2, 1, 2),
]
OTHER_PORTS = [f"127.0.0.1:{port}" for port in range(21211, 21215)]
DEFAULT_PORT = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(("key", "jenkins", "md5"), [vector[:3] for vector in VECTORS])
def test_keys_hash_as_libmemcached_hashes_them(key, jenkins, md5):
    """Both functions, to the bit."""
    assert hashring._one_at_a_time(key.encode()) == jenkins
    assert hashring._md5_word(key.encode()) == md5


@pytest.mark.parametrize("vector", VECTORS, ids=[vector[0] for vector in VECTORS])
def test_keys_are_where_libmemcached_puts_them(vector):
    """On lists with and without the default port, in both layouts; native agrees with the weighted one."""
    lists = [(OTHER_PORTS, vector[3], vector[4]), (DEFAULT_PORT, vector[5], vector[6])]
    for names, ketama, weighted in lists:
        assert ring_of(*names, layout="ketama").order(vector[0])[0] == ketama
        assert ring_of(*names, layout="ketama_weighted").order(vector[0])[0] == weighted
        assert ring_of(*names, layout="native").order(vector[0])[0] == weighted


@pytest.mark.parametrize(
    ("name", "words", "jenkins"),
    [
        ("127.0.0.1:21211", (1501425236, 4264343255, 1367129499, 2486798121), 2485934734),
        ("10.0.0.1", (563378236, 920037467, 4058903954, 1084864719), 4128832250),
    ],
)
def test_points_are_those_of_libmemcached(name, words, jenkins):
    """Of MD5 a string gives four, of one-at-a-time one."""
    assert hashring._points([Place(name)], "ketama_weighted")[:4] == [(word, 0) for word in words]
    assert hashring._points([Place(name)], "ketama")[0] == (jenkins, 0)


@pytest.mark.parametrize(
    ("weights", "points"),
    [
        ((1, 1, 1), (160, 160, 160)),
        ((1, 2), (104, 212)),
        ((1, 2, 3, 7), (48, 96, 144, 344)),
        ((50, 50, 1), (236, 236, 4)),
    ],
)
def test_weights_share_points_in_single_precision(weights, points):
    """As hosts.cc of libmemcached rounds them; its unweighted layout turns into this one."""
    places = [Place(f"10.0.0.{number}", weight) for number, weight in enumerate(weights)]
    for layout in ("ketama_weighted",) if set(weights) == {1} else ("ketama", "ketama_weighted"):
        counts = Counter(index for _, index in hashring._points(places, layout))
        assert tuple(counts[index] for index in range(len(weights))) == points


def test_without_weights_ketama_has_100_points_a_node():
    """And the others 160."""
    sizes = {layout: len(hashring._points([Place("a"), Place("b")], layout)) for layout in LAYOUTS}
    assert sizes == {"native": 320, "ketama": 200, "ketama_weighted": 320}


def test_weights_turn_ketama_into_other_points_under_the_same_hash_of_keys():
    """A quirk of libmemcached: MD5 points, keys by one-at-a-time."""
    plain = ring_of("a", "b", weights=(1, 2), layout="ketama")
    weighted = ring_of("a", "b", weights=(1, 2), layout="ketama_weighted")
    assert plain.shares() == weighted.shares()
    assert any(plain.order(key) != weighted.order(key) for key in KEYS)


def test_a_key_beyond_the_last_point_goes_to_the_first():
    """The ring is closed; this key of libmemcached's own tests hashes to 0xfffcd1b5."""
    assert hashring._md5_word(b"VDEAAAAA") == 0xFFFCD1B5
    ring = ring_of(*DEFAULT_PORT)
    points = sorted(hashring._points(ring.places, "native"))
    assert points[-1][0] < 0xFFFCD1B5
    assert ring.order("VDEAAAAA")[0] == points[0][1]


# -- native

names = st.lists(st.from_regex(r"[a-z0-9.-]{1,12}", fullmatch=True), min_size=1, max_size=7, unique=True)
few = settings(max_examples=40)  # each builds rings of some thousand points
keys = st.from_regex(r"ss:[A-Za-z0-9_-]{43}", fullmatch=True)


@few
@given(names, keys, st.integers(1, 5))
def test_with_equal_weights_native_is_weighted_ketama(nodes, key, weight):
    """And libmemcached looks at ratios only: where all weigh the same, it does not matter how much."""
    weighted = ring_of(*nodes, layout="ketama_weighted")
    assert ring_of(*nodes).order(key) == weighted.order(key)
    assert ring_of(*nodes, weights=[weight] * len(nodes), layout="ketama_weighted").order(key) == weighted.order(key)


@few
@given(names, st.data())
def test_a_node_that_goes_moves_nothing_between_those_that_stay(nodes, data):
    """The preference of every key stays as it was, less the node that went; backwards for one that comes."""
    weights = data.draw(st.lists(st.integers(1, 4), min_size=len(nodes), max_size=len(nodes)))
    gone = data.draw(st.sampled_from(nodes))
    staying = [(name, weight) for name, weight in zip(nodes, weights, strict=True) if name != gone]
    if not staying:
        return
    old = ring_of(*nodes, weights=weights)
    new = ring_of(*(name for name, _ in staying), weights=[weight for _, weight in staying])
    for key in data.draw(st.lists(keys, min_size=1, max_size=20)):
        before = [nodes[index] for index in old.order(key) if nodes[index] != gone]
        assert before == [staying[index][0] for index in new.order(key)]


@few
@given(names, st.data())
def test_the_order_of_the_list_does_not_matter(nodes, data):
    """Two web nodes may write the same nodes in another order."""
    shuffled = data.draw(st.permutations(nodes))
    old, new = ring_of(*nodes), ring_of(*shuffled)
    key = data.draw(keys)
    assert [nodes[index] for index in old.order(key)] == [shuffled[index] for index in new.order(key)]
    assert old.fingerprint() == new.fingerprint()


def test_a_weight_that_changes_moves_keys_only_to_or_from_its_node():
    """The others' points stay where they are."""
    changes = moved(ring_of("a", "b", "c", weights=(1, 1, 1)), ring_of("a", "b", "c", weights=(1, 3, 1)))
    assert changes
    assert {new for _, new in changes} == {"b"}


def test_native_is_the_default():
    """The layout in which a change moves the least."""
    ring = HashRing([Place("a", 1), Place("b", 3)])
    assert ring.fingerprint() == ring_of("a", "b", weights=(1, 3)).fingerprint()
    assert ring.shares() == ring_of("a", "b", weights=(1, 3)).shares()


def test_a_weight_takes_its_share():
    """A node of weight 3 owns about three times as many keys as one of weight 1."""
    light, heavy = ring_of("a", "b", weights=(1, 3)).shares()
    assert 2.5 < heavy / light < 3.5


def test_libmemcached_moves_keys_between_nodes_that_stay_where_weights_differ():
    """The reason why native is the default: there, nothing does."""
    four, weights = ("a", "b", "c", "d"), (1, 2, 3, 7)
    needless = {}
    for layout in ("native", "ketama_weighted"):
        changes = moved(
            ring_of(*four, weights=weights, layout=layout), ring_of(*four[1:], weights=weights[1:], layout=layout)
        )
        needless[layout] = sum(count for (old, _), count in changes.items() if old != "a") / len(KEYS)
    assert needless["native"] == 0
    assert 0.02 < needless["ketama_weighted"] < 0.2


# -- balance


@pytest.mark.parametrize("layout", ["native", "ketama_weighted"])
@pytest.mark.parametrize("nodes", [EIGHT, [f"10.0.0.{n}" for n in range(1, 9)], [f"cache{n}" for n in range(1, 9)]])
def test_eight_equal_nodes_share_the_keys_well(nodes, layout):
    """The fullest has at most a fifth more than the mean; said by the shares, borne out by keys."""
    ring = ring_of(*nodes, layout=layout)
    counts = Counter(owner(ring, key) for key in KEYS)
    assert max(ring.shares()) * len(nodes) <= 1.20
    assert max(counts.values()) * len(nodes) / len(KEYS) <= 1.25  # 5,000 keys are a sample


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_fifth_node_takes_about_a_fifth(layout):
    """At most 23 % of the keys move, all of them to the new node."""
    changes = moved(ring_of(*EIGHT[:4], layout=layout), ring_of(*EIGHT[:5], layout=layout))
    assert {new for _, new in changes} == {"e"}
    assert 0.15 < sum(changes.values()) / len(KEYS) <= 0.23


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shares_are_what_the_keys_do(layout):
    """They add up to 1, and 5,000 keys differ from them by chance only."""
    ring = ring_of("a", "b", "c", weights=(1, 2, 4), layout=layout)
    counts = Counter(ring.order(key)[0] for key in KEYS)
    assert sum(ring.shares()) == pytest.approx(1)
    assert [counts[index] / len(KEYS) for index in range(3)] == pytest.approx(ring.shares(), abs=0.03)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_node_owns_everything(layout):
    """Whatever the key."""
    ring = ring_of("a", layout=layout)
    assert ring.order("VDEAAAAA") == (0,)
    assert ring.shares() == pytest.approx([1.0])


# -- preference


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_key_prefers_each_node_once(layout):
    """However many points a node has."""
    ring = ring_of(*EIGHT, layout=layout, weights=range(1, 9))
    assert all(sorted(ring.order(key)) == list(range(8)) for key in KEYS[:500])


def test_a_key_is_looked_for_on_sixteen_nodes_at_most():
    """And always on the same ones, in the same order."""
    ring = ring_of(*(f"node{number}" for number in range(20)))
    orders = {key: ring.order(key) for key in KEYS[:500]}
    assert {len(set(order)) for order in orders.values()} == {16}
    assert {key: ring.order(key) for key in orders} == orders


def test_an_order_is_made_once():
    """Of some thousand points each has one, however many keys there are."""
    ring = ring_of(*EIGHT)
    assert ring.order(KEYS[0]) is ring.order(KEYS[0])
    assert len({id(ring.order(key)) for key in KEYS}) <= 8 * 160


def test_second_owners_are_spread_over_all_other_nodes():
    """The keys of a node that dies do not all fall on one other."""
    ring = ring_of(*EIGHT)
    seconds = {first: Counter(ring.order(key)[1] for key in KEYS if ring.order(key)[0] == first) for first in range(8)}
    assert all(len(counts) == 7 for counts in seconds.values())
    assert all(max(counts.values()) < 0.5 * sum(counts.values()) for counts in seconds.values())


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("ss:{ann}rest", "ann"),
        ("{ann}", "ann"),
        ("ss:{ann}{bob}", "ann"),
        ("a}b{ann}", "ann"),
        ("{{ann}}", "{ann"),
        ("{a}", "a"),
        ("ss:{}rest", "ss:{}rest"),
        ("ss:{}{ann}", "ss:{}{ann}"),
        ("ss:{ann", "ss:{ann"),
        ("ss:ann}", "ss:ann}"),
    ],
)
def test_of_a_key_with_a_part_in_braces_that_part_is_hashed(key, hashed):
    """The first such part, and no empty one: the rule of Redis Cluster."""
    assert hashring._hashed_part(key) == hashed


def test_all_that_belongs_to_a_principal_lives_together():
    """Whatever stands around the braces."""
    ring = ring_of(*EIGHT)
    assert len({ring.order(f"ss:{{ann}}{number}") for number in range(50)}) == 1
    assert len({ring.order(f"ss:{{{number}}}x") for number in range(50)}) > 1


def test_md5_places_keys_where_it_is_forbidden_for_security(monkeypatch):
    """As on machines under FIPS: there it must be asked for as what it is."""
    monkeypatch.setattr(hashring, "md5", lambda data, usedforsecurity=True: usedforsecurity is False and md5(data))
    assert ring_of(*EIGHT).order(KEYS[0])
    assert ring_of(*EIGHT).fingerprint()


# -- fingerprint


def test_the_fingerprint_tells_rings_apart():
    """By name, weight and layout."""
    rings = [
        ring_of("a", "b"),
        ring_of("a", "c"),
        ring_of("a", "b", "c"),
        ring_of("a", "b", weights=(1, 2)),
        *(ring_of("a", "b", layout=layout) for layout in LAYOUTS[1:]),
    ]
    prints = sorted(ring.fingerprint() for ring in rings)
    assert all(one != other for one, other in pairwise(prints))
    assert {len(each) for each in prints} == {12}
