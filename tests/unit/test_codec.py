"""Values to bytes and back: every promised type as it was, every other one refused by name."""

import collections
import datetime as dt
import enum
import math
import sys
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedsession.records import codec

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
offsets = st.timezones() | st.just(dt.UTC) | st.none()
hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20)
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
values = st.recursive(
    hashable | st.sets(hashable, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts | st.integers(-9, 9), inner, max_size=4),
    max_leaves=12,
)


def back(value):
    """A value after a round trip."""
    return codec.unpack(codec.pack("key", value))


def shape(value):
    """A value with its types and the order of its keys: ``1 == 1.0 == True`` is not good enough here."""
    if isinstance(value, dict):
        return dict, [(shape(key), shape(member)) for key, member in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [shape(member) for member in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(shape(member)) for member in value)
    return type(value), repr(value)


@given(values)
def test_every_promised_type_comes_back_as_it_was(value):
    """Type, value and order survive, at any depth."""
    assert shape(back(value)) == shape(value)


@given(values)
def test_packing_what_came_back_gives_the_same_bytes(value):
    """Reading and writing alone is never a change."""
    packed = codec.pack("key", value)
    assert codec.pack("key", codec.unpack(packed)) == packed


@given(st.datetimes(timezones=offsets, allow_imaginary=False))
def test_a_datetime_keeps_its_moment_its_wall_and_its_fold(moment):
    """The offset and the microseconds survive; the name of the zone becomes its offset."""
    found = back(moment)
    assert found.replace(tzinfo=None) == moment.replace(tzinfo=None)
    assert found.utcoffset() == moment.utcoffset()
    assert found.fold == moment.fold


def test_the_two_half_past_two_of_an_autumn_night_are_told_apart():
    """An hour that comes twice comes back as the one it was."""
    first = dt.datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert back(first).utcoffset() == dt.timedelta(hours=2)
    assert back(first.replace(fold=1)).utcoffset() == dt.timedelta(hours=1)


@pytest.mark.parametrize("number", [0, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**1000, True, False])
def test_integers_have_no_limit(number):
    """What does not fit into 64 bits is kept all the same, and a flag stays a flag."""
    assert shape(back(number)) == shape(number)


@pytest.mark.parametrize("text", ["NaN", "-NaN", "sNaN", "Infinity", "-0", "1E+400", "0.10"])
def test_every_decimal_is_kept_as_it_is_written(text):
    """Trailing zeros and the ones that are no numbers count."""
    assert str(back(Decimal(text))) == text


def test_floats_that_are_no_numbers_are_kept():
    """NaN, the infinities and minus zero survive."""
    assert math.isnan(back(math.nan))
    assert back([math.inf, -math.inf]) == [math.inf, -math.inf]
    assert math.copysign(1, back(-0.0)) == -1


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Point(collections.namedtuple("Point", "x y")):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (Point(1, 2), (1, 2)),
        (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        ([collections.Counter("aab")], [{"a": 2, "b": 1}]),
    ],
)
def test_a_subclass_becomes_the_type_it_extends(value, stored):
    """No class of the application's is named in the store."""
    assert shape(back(value)) == shape(stored)


@pytest.mark.parametrize("key", ["a", 1, -7, 1.5, None, True, b"x", (1, "a")], ids=repr)
def test_the_usual_keys_of_a_nested_dict_are_kept(key):
    """Not only text may be a key below the top level."""
    assert shape(back({key: 1})) == shape({key: 1})


@given(st.sets(hashable, max_size=8), st.randoms(use_true_random=False))
def test_equal_sets_give_equal_bytes(members, random):
    """A set has no order, so the order in which it was filled leaves no trace."""
    shuffled = list(members)
    random.shuffle(shuffled)
    assert codec.pack("key", set(shuffled)) == codec.pack("key", members)
    assert codec.pack("key", frozenset(shuffled)) == codec.pack("key", frozenset(members))


def test_only_what_cannot_change_in_place_counts_as_immutable():
    """A value that is called immutable is never looked at again, so nothing that can change may be among them."""
    assert all(
        type(value) in codec.IMMUTABLE
        for value in ["", 1, 1.5, None, True, b"", Decimal(1), UUID(int=1), dt.date.max, dt.timedelta()]
    )
    changeable = [[], {}, set(), (), ([],), bytearray(), object(), Point([], 1)]
    assert not any(type(value) in codec.IMMUTABLE for value in changeable)


def test_html_that_is_marked_as_safe_stays_so(monkeypatch):
    """It is markupsafe's type where the process has it, and plain text where it has not."""
    markupsafe = pytest.importorskip("markupsafe")
    packed = codec.pack("k", {"html": markupsafe.Markup("<b>ö</b>")})
    assert type(codec.unpack(packed)["html"]) is markupsafe.Markup
    monkeypatch.delitem(sys.modules, "markupsafe")
    assert type(codec.unpack(packed)["html"]) is str
    assert codec.unpack(packed) == {"html": "<b>ö</b>"}


def test_what_makes_html_when_asked_is_kept_as_that():
    """A lazy translation, as Flask-Babel's: Flask's own session keeps it as HTML, too."""

    class Lazy:
        def __html__(self):
            return "later"

    assert codec.unpack(codec.pack("k", [Lazy()])) == ["later"]


def test_a_dict_of_several_values_is_kept_as_it_shows_itself():
    """Django's `QueryDict` keeps lists and shows the last of each; so does its JSON."""

    class Last(dict):
        def items(self):
            return [(key, values[-1]) for key, values in super().items()]

    assert codec.unpack(codec.pack("k", {"q": Last(a=["1", "2"])})) == {"q": {"a": "2"}}


def test_an_item_that_is_no_bytes_is_kept_as_it_is():
    """The others are read."""
    found = codec.unpack_all({"a": 1, "b": codec.pack("b", 2)})
    assert isinstance(found["a"], codec.Unreadable)
    assert found["b"] == 2
