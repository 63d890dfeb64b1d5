"""The changes that can be repeated: what they make, and what they say of a value that they cannot change."""

from decimal import Decimal

import pytest

from sharedsession.session.steps import adding, appending
from tests.support.watched_store import Farm, opened


@pytest.mark.parametrize(
    ("old", "number", "new"),
    [
        (None, 1, 1),
        (1, 2, 3),
        (1, 0.5, 1.5),
        (Decimal("0.1"), Decimal("0.2"), Decimal("0.3")),
        (Decimal(1), 2, 3),
        (10**400, 1, 10**400 + 1),
    ],
)
def test_numbers_of_each_type_are_added(old, number, new):
    """As Python adds them."""
    assert adding("n", number)(old) == new


@pytest.mark.parametrize(
    ("old", "number", "types"),
    [
        ("a", 1, "holds str, and increment was to add int"),
        ("a", "b", "holds str, and increment was to add str"),
        ([1], [2], "holds list, and increment was to add list"),
        (None, "b", "holds int, and increment was to add str"),
        (1, None, "holds int, and increment was to add NoneType"),
        (Decimal(1), 0.5, "holds Decimal, and increment was to add float"),
    ],
)
def test_increment_names_the_key_that_has_no_number(old, number, types):
    """Its type and not its value; `+` would have joined two texts in silence."""
    with pytest.raises(TypeError, match=rf"^session\['visits'\] {types}: both must be numbers"):
        adding("visits", number)(old)


@pytest.mark.parametrize("old", ["text", ("a",), {"a": 1}, 5])
def test_append_names_the_key_that_has_no_list(old):
    """Its type and not its value."""
    with pytest.raises(TypeError, match=rf"^session\['cart'\] holds {type(old).__name__}: append needs a list$"):
        appending("cart", 1)(old)


def test_a_step_that_fails_changes_nothing():
    """The request may go on, and save what it has."""
    node = Farm().node()
    session = opened(node, node.stored(name="Ann", cart={}))
    with pytest.raises(TypeError, match="'name'"):
        session.increment("name")
    with pytest.raises(TypeError, match="'cart'"):
        session.append("cart", 1)
    assert not session.modified
    assert session == {"name": "Ann", "cart": {}}


@pytest.mark.parametrize("conflict", ["merge", "overwrite"])
def test_what_another_request_put_there_is_named_at_the_commit(conflict):
    """The step is repeated on the newest value, which is no number any more; that value stays."""
    farm = Farm()
    node = farm.node(conflict=conflict)
    token = node.stored(n=1)
    session = opened(node, token)
    session.increment("n")
    farm.store.before("replace", farm.changed_by_another(node, token, n="text"))
    with pytest.raises(TypeError, match=r"^session\['n'\] holds str"):
        node.commit(session)
    assert node.read(token) == {"n": "text"}
