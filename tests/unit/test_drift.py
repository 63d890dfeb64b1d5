"""How two web nodes differ, in words and with the mend; and which of them is in the wrong."""

from dataclasses import replace

import pytest

from sharedsession.farm.drift import (
    WebNode,
    clock_offset,
    differences,
    digest,
    disagreements,
    is_odd_one_out,
    leading,
    of_store,
)

NOW = 1_800_000_000.0
PARTS = {name: digest(name, "x") for name in ("backend", "layout", "replicas", "idle_timeout", "cookie", "encrypt")}
OURS = WebNode("a", "web1:1", "1.0", "app", ("s1", "s2"), PARTS, at=NOW, since=NOW)


def theirs(**changes):
    """Another web node, that differs in this."""
    parts = changes.pop("parts", {})
    return replace(OURS, **{"id": "b", "name": "web2:2", **changes}, parts={**PARTS, **parts})


def said(other, now=NOW):
    return [(each.difference.part, each.difference.is_fault) for each in disagreements(OURS, [other], now)]


def test_those_who_agree_have_nothing_to_say():
    """Another host, another process, another moment."""
    assert disagreements(OURS, [theirs(at=NOW - 100, since=NOW - 9999)], NOW) == []


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"secrets": ("s3",)}, [("secret_key", True)]),
        ({"secrets": ("s3", "s1")}, [("secret_key", True)]),  # they sign with what we do not know
        ({"secrets": ("s2",)}, [("secret_key", True)]),  # we sign with what they do not know
        ({"secrets": ("s2", "s1")}, [("secret_key", True)]),
        ({"secrets": ("s1",)}, [("secret_key", False)]),  # one has forgotten the old one already
        ({"secrets": ("s1", "s2", "s3")}, [("secret_key", False)]),  # a new one is on its way
        ({"parts": {"encrypt": "x"}}, [("encrypt", True)]),
        ({"parts": {"backend": "x"}}, [("backend", True)]),
        ({"parts": {"backend": "x", "layout": "x"}}, [("layout", True)]),
        ({"parts": {"backend": "x", "layout": digest("layout", ""), "replicas": "x"}}, [("backend", True)]),
        ({"parts": {"replicas": "x", "idle_timeout": "x"}}, [("idle_timeout", True), ("replicas", True)]),
        ({"parts": {"of another version": "x"}}, []),
        ({"version": "2.0"}, [("version", False)]),
        ({"app": "other", "parts": {"encrypt": "x"}, "secrets": ()}, [("app_name", False)]),
    ],
)
def test_each_difference_has_its_name(other, expected):
    """The part, and whether somebody must act."""
    assert said(theirs(**other)) == expected


def test_an_order_of_secrets_does_not_keep_sessions_apart():
    """Both open what the other seals, so neither has to give way."""
    (order,) = differences(OURS, theirs(secrets=("s2", "s1")))
    (other,) = differences(OURS, theirs(secrets=("s3",)))
    assert (order.what, order.breaks) == ("the order of the secrets", False)
    assert (other.what, other.breaks) == ("the secrets", True)


@pytest.mark.parametrize(
    ("age", "is_off"),
    [(0, False), (60, False), (240, False), (-500, False), (500, False), (900, True), (-900, True), (-840, True)],
)
def test_a_clock_that_is_off_by_a_quarter_of_an_hour_is_found_out(age, is_off):
    """What a node said may have been said a few minutes ago, and ten more are allowed."""
    assert bool(clock_offset(NOW - age, NOW)) is is_off
    assert (("clock", True) in said(theirs(at=NOW - age))) is is_off


def test_one_difference_is_one_sentence_with_names_and_mend():
    """However many web nodes there are."""
    others = [theirs(id=str(n), name=f"web{n}:1", parts={"idle_timeout": "x"}) for n in range(5)]
    (found,) = disagreements(OURS, others, NOW)
    assert str(found) == (
        "this web node disagrees with web0:1, web1:1, web2:1 and 2 more on idle_timeout: "
        "give every web node the same SHAREDSESSION_IDLE_TIMEOUT"
    )


def test_a_difference_shows_both_values():
    """Those that are known on both sides; of secrets their fingerprints, which lead back to nothing."""
    ours = replace(
        OURS, values={"idle_timeout": "1200", "cookie_name": "'sid'", "cookie_path": "'/'", "encrypt": "True"}
    )
    other = theirs(
        parts={"idle_timeout": "x", "cookie": "x", "encrypt": "x"},
        values={"idle_timeout": "600", "cookie_name": "'id'", "cookie_path": "'/'"},
        secrets=("s3",),
    )
    assert [each.text.partition(" on ")[2] for each in disagreements(ours, [other], NOW)] == [
        "the cookie's settings (cookie_name 'sid' here, 'id' there)",
        "encrypt",
        "idle_timeout (1200 here, 600 there)",
        "the secrets (fingerprints s1 s2 here, s3 there)",
    ]


def test_web_nodes_with_different_values_are_told_apart():
    """So that each sentence is true of all that it names."""
    ours = replace(OURS, values={"encrypt": "True"})
    others = [
        theirs(id=name, name=name, parts={"encrypt": name}, values={"encrypt": value})
        for name, value in (("b", "1"), ("c", "2"), ("d", "1"))
    ]
    assert [each.names for each in disagreements(ours, others, NOW)] == [("b", "d"), ("c",)]


def test_a_clock_is_told_in_minutes():
    """Ahead or behind, of the other web node."""
    (found,) = disagreements(OURS, [theirs(at=NOW + 900)], NOW)
    assert "on the time: theirs is about 15 minutes ahead" in found.text


def test_faults_come_first():
    """Then what may be meant."""
    found = disagreements(OURS, [theirs(version="2"), theirs(id="c", parts={"encrypt": "x"})], NOW)
    assert [each.difference.part for each in found] == ["encrypt", "version"]


def other_side(number, **changes):
    return [theirs(id=f"x{n}", name=f"odd:{n}", secrets=("s3",), **changes) for n in range(number)]


def test_the_fewer_are_in_the_wrong():
    """One node with another secret gives way to two; the two do not."""
    friends = [theirs(id="f", name="web3:3")]
    assert is_odd_one_out(OURS, other_side(2))
    assert not is_odd_one_out(OURS, [*friends, *other_side(1)])
    assert not is_odd_one_out(OURS, [])


def test_of_two_the_younger_one_is_in_the_wrong():
    """Who was there first goes on."""
    assert is_odd_one_out(OURS, other_side(1, since=NOW - 10))
    assert not is_odd_one_out(OURS, other_side(1, since=NOW + 10))


@pytest.mark.parametrize("changes", [{"app": "other"}, {"version": "2"}, {"at": NOW - 5000}, {"secrets": ("s2", "s1")}])
def test_nobody_gives_way_to_what_does_not_keep_sessions_apart(changes):
    """Another application, another version, a clock, an order."""
    others = [theirs(id=str(n), name=f"web{n}:9", since=0.0, **changes) for n in range(5)]
    assert not is_odd_one_out(OURS, others)


def test_the_leader_of_an_application_is_the_oldest_of_the_most():
    """The one that the others are compared with where nobody is asked in particular."""
    friend, blog = theirs(id="f", since=NOW - 5), theirs(id="g", app="blog")
    found = leading([*other_side(1, since=0.0), OURS, friend, blog])
    assert found == {"app": friend, "blog": blog}
    assert leading([]) == {}


def test_a_store_is_its_kind_or_its_ring():
    """What a ring is made of, or that it is none."""
    assert of_store({"kind": "redis"}) == {"backend": "redis", "layout": "", "replicas": ""}
    ring = {"kind": "ring", "fingerprint": "f", "layout": "native", "replicas": 2}
    assert of_store(ring) == {"backend": "f", "layout": "native", "replicas": "2"}
