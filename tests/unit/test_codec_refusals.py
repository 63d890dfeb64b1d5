"""What a session does not keep: refused when it is stored, by the name of its key, and never by showing it."""

import collections
import datetime as dt
import enum
from dataclasses import dataclass
from uuid import UUID

import pytest

from sharedsession.errors import SessionTooLarge
from sharedsession.records import codec


class Plain(enum.Enum):
    ONE = 1


@dataclass
class Record:
    field: int = 1


@pytest.mark.parametrize(
    "value",
    [object(), Plain.ONE, Record(), 1j, range(3), iter([]), len, int, ValueError("x"), {}.keys(), collections.deque()],
    ids=lambda value: type(value).__name__,
)
def test_any_other_value_is_a_type_error_that_names_the_key(value):
    """Nothing is pickled, nothing is turned into text: the application is told which key and which type."""
    for nested in (value, [value], {"deep": [value]}):
        with pytest.raises(TypeError, match=r"session\['basket'\].*" + type(value).__name__):
            codec.pack("basket", nested)


@pytest.mark.parametrize("around", [lambda v: (v,), lambda v: [{"deep": (v,)}], lambda v: {v}], ids=["1", "2", "3"])
def test_a_value_inside_a_tagged_type_is_named_too(around):
    """It is the complex number that cannot be stored, not the tuple or the set around it."""
    with pytest.raises(TypeError, match=r"session\['basket'\].* complex"):
        codec.pack("basket", around(1j))


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (1j, "['basket']"),
        ([1j], "['basket'][0]"),
        ([1, 2, {"a": [1j]}], "['basket'][2]['a'][0]"),
        ({"a": 1, "b": (1, 1j)}, "['basket']['b'][1]"),
        ({5: 1j}, "['basket'][5]"),
        ({b"raw": [1j]}, "['basket'][b'raw'][0]"),
        ({(1, 2): 1j}, "['basket'][<tuple>]"),
        ([{1j}], "['basket'][0] (an element)"),
        ({1j: 1}, "['basket'] (a key)"),
        ({(1, 1j): 1}, "['basket'] (a key)[1]"),
        (collections.OrderedDict(a=[1j]), "['basket']['a'][0]"),
        ({"k" * 100: 1j}, "['basket']['" + "k" * 39 + "…]"),
    ],
    ids=repr,
)
def test_the_error_tells_where_and_what_is_kept(value, place):
    """The way to it as Python code has it, its type, and the types that there are."""
    with pytest.raises(TypeError) as caught:
        codec.pack("basket", value)
    message = str(caught.value)
    assert message.startswith(
        f"session{place} cannot be stored: a session keeps no complex, only str, int, float, bool"
    )
    assert message.endswith("timedelta, UUID and Decimal")


def test_the_first_of_several_is_told_and_no_value_is_shown():
    """One at a time; what can be stored beside it is the visitor's business."""
    with pytest.raises(TypeError, match=r"^session\['basket'\]\[1\] cannot") as caught:
        codec.pack("basket", ["SECRETVALUE", 1j, 2j])
    assert "SECRETVALUE" not in str(caught.value)


def test_what_is_nested_too_deeply_is_told_without_a_path():
    """It would have hundreds of steps."""
    value = 1
    for _ in range(2000):
        value = [value]
    for deep in (value, {"a": value}, (value,), loop(list)):
        with pytest.raises(TypeError, match=r"^session\['basket'\] cannot be stored: it is nested too deeply"):
            codec.pack("basket", deep)


def test_text_that_has_no_bytes_is_told_by_its_place():
    """Also where it is a key."""
    with pytest.raises(TypeError, match=r"^session\['basket'\]\['a'\]\[1\] cannot be stored: .*surrogate"):
        codec.pack("basket", {"a": ["x", "\ud800"]})
    with pytest.raises(TypeError, match=r"^session\['basket'\] \(a key\) cannot be stored: .*surrogate"):
        codec.pack("basket", {"\ud800": 1})
    with pytest.raises(TypeError, match=r"^session\['.ud800'\] cannot be stored: .*surrogate"):
        codec.pack("\ud800", 1)


@pytest.mark.parametrize(
    "value", [float("inf"), 10**400, -(2**70), {10**400: 10**400}], ids=lambda value: f"{value!r:.8}"
)
def test_no_number_is_too_large(value):
    """They are kept exactly, though JSON and MessagePack have none of them."""
    assert codec.unpack(codec.pack("n", value)) == value


def test_what_is_no_number_is_kept_too():
    """And does not look changed at each request."""
    packed = codec.pack("n", [float("nan")])
    assert codec.is_packed_as([codec.unpack(packed)], [packed])


@pytest.mark.parametrize(
    "key",
    [
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.date(2026, 1, 1),
        dt.time(1),
        UUID(int=1),
        Plain.ONE,
        (dt.date(2026, 1, 1),),
    ],
    ids=repr,
)
def test_the_keys_of_a_nested_dict_never_change_their_type(key):
    """A key of a dict inside the session comes back as it was, or is refused; it never silently becomes text."""
    try:
        packed = codec.pack("basket", {key: 1})
    except TypeError as error:
        assert "session['basket']" in str(error)  # noqa: PT017  (both answers are right)
    else:
        ((found, _),) = codec.unpack(packed).items()
        assert repr(found) == repr(key)


def test_text_with_lone_surrogates_is_refused():
    """Text that is no Unicode is a `TypeError` too, not an encoding error in the middle of a commit."""
    with pytest.raises(TypeError, match=r"session\['basket'\]"):
        codec.pack("basket", ["\ud800"])


def loop(kind):
    """A value that contains itself."""
    around = kind()
    around.append((around,))
    return around


@pytest.mark.parametrize("value", [loop(list), loop(type("Basket", (list,), {}))], ids=["list", "subclass"])
def test_a_value_that_contains_itself_is_refused(value):
    """A circle ends in a `TypeError`, not in the interpreter's."""
    with pytest.raises(TypeError, match=r"session\['basket'\]"):
        codec.pack("basket", value)


@pytest.mark.parametrize("depth", [100, 200, 255, 256, 300, 400, 900])
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,), lambda v: frozenset([v])])
def test_what_could_be_stored_can_be_read(wrap, depth):
    """However deep a value is, it is refused when it is stored rather than unreadable afterwards."""
    value = 1
    for _ in range(depth):
        value = wrap(value)
    try:
        packed = codec.pack("basket", value)
    except TypeError:
        assert depth > 100
    else:
        assert codec.unpack(packed) == value


def test_an_unknown_tag_is_an_error():
    """What a newer version wrote is not guessed at."""
    with pytest.raises(ValueError):  # noqa: PT011  (whichever the decoder raises)
        codec.unpack(b"\xc7\x01\x7f\x00")


def test_a_session_of_the_limit_passes_and_one_byte_more_does_not():
    """The limit is inclusive."""
    codec.check_size({"a": b"x"}, 100, 100)
    with pytest.raises(SessionTooLarge, match="takes 101 bytes, the limit is 100"):
        codec.check_size({"a": b"x"}, 101, 100)


def test_the_three_largest_keys_are_named_and_no_value():
    """The message tells the application what to take out, and shows nothing of it."""
    items = {f"key{size}": b"SECRETVALUE"[:1] * size for size in (1, 500, 20, 300, 4000)}
    with pytest.raises(SessionTooLarge) as caught:
        codec.check_size(items, 5000, 4096)
    message = str(caught.value)
    assert "'key4000' (4000 bytes), 'key500' (500 bytes), 'key300' (300 bytes)." in message
    assert "key20" not in message
    assert "SS" not in message
