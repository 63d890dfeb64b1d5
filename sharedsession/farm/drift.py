"""What the web nodes of a farm must agree on: short digests of it, how two of them differ, the fix of each difference.

Pure: no clock, no I/O. The digests decide whether two web nodes differ; the values beside them only tell how. Of a
secret there is a digest alone, which never leads back to it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CLOCK_LEEWAY = 600.0  # seconds by which the clocks of two web nodes may differ
_PERIODS = 240.0  # seconds for which the description of a web node may stand in the registry
_SHOWN = 3  # names in one sentence

_SAME = "give every web node the same {}"
# part: (what differs, the fix)
_PARTS: dict[str, tuple[str, str]] = {
    "backend": (
        "the list of nodes in the ring",
        _SAME.format("SHAREDSESSION_BACKEND, with the same names and weights of nodes"),
    ),
    "layout": ("the layout of the ring", _SAME.format("layout=… in SHAREDSESSION_BACKEND")),
    "replicas": ("the replicas of the ring", _SAME.format("replicas=… in SHAREDSESSION_BACKEND")),
    "transport": ("transport or header_name", _SAME.format("transport and header_name")),
    "cookie": (
        "the cookie's settings",
        _SAME.format("cookie_name, cookie_path, cookie_domain and other cookie_… setting"),
    ),
}
# part: the settings that it is made of, where these have names of their own
_NAMES = {
    "transport": ["transport", "header_name"],
    "cookie": [f"cookie_{name}" for name in ("name", "path", "domain", "secure", "samesite", "partitioned")],
}


@dataclass(frozen=True, slots=True)
class WebNode:
    """A web node as it describes itself.

    Attributes:
        id: a random one of its process.
        name: host and process ID.
        version: of the library.
        app: a digest of its ``app_name``.
        secrets: a digest of each of its secrets, newest first.
        parts: a digest of each other thing that the farm must agree on.
        at: when it described itself, by its own clock.
        since: when it started, by its own clock.
        values: settings as text, for people; none of them is a secret.
    """

    id: str
    name: str
    version: str
    app: str
    secrets: tuple[str, ...]
    parts: Mapping[str, str] = field(default_factory=dict)
    at: float = 0.0
    since: float = 0.0
    values: Mapping[str, str] = field(default_factory=dict)


class BothValues(NamedTuple):
    """One value of two web nodes. The name is empty where the sentence around it has it already."""

    name: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.name} {self.ours} here, {self.theirs} there".lstrip()


class Difference(NamedTuple):
    """One thing in which two web nodes differ.

    Attributes:
        part: its name: a setting, a part of the fingerprint, or ``clock``.
        what: the same in words.
        fix: what to do, as one sentence.
        is_fault: ``False``: it may be intended.
        breaks: whether sessions cannot be shared, so that one of the two should not serve any.
        values: what differs by name, with our value and theirs, as far as both are known.
    """

    part: str
    what: str
    fix: str
    is_fault: bool = True
    breaks: bool = True
    values: tuple["BothValues", ...] = ()

    @property
    def seen_by_most(self) -> str:
        """What differs, with the other web node's value and ours, where ours is that of the most."""
        both = [f"{value.name} {value.theirs}, others {value.ours}".lstrip() for value in self.values]
        return f"{self.what} ({'; '.join(both)})" if both else self.what


def digest(name: str, value: str) -> str:
    """Returns the short digest of one part."""
    return hashlib.sha256(f"{name}={value}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def digests(parts: Mapping[str, str]) -> dict[str, str]:
    """Returns the short digest of each part."""
    return {name: digest(name, part) for name, part in parts.items()}


def of_store(health: Mapping[str, Any]) -> dict[str, str]:
    """Returns what web nodes must agree on about their store, as text."""
    layout = {name: str(health.get(name, "")) for name in ("layout", "replicas")}
    return {"backend": str(health.get("fingerprint", health.get("kind", ""))), **layout}


_NO_RING = digest("layout", "")


# -- two nodes


def differences(ours: WebNode, theirs: WebNode) -> list[Difference]:
    """Returns how two web nodes differ; between two applications that is no more than their names."""
    if ours.app != theirs.app:
        return [_other_app(ours, theirs)]
    return [*_secrets(ours.secrets, theirs.secrets), *_parts(ours, theirs), *_versions(ours, theirs)]


def clock_offset(described_at: float, now: float) -> float:
    """Returns the seconds by which a web node's clock is ahead (or, negative, behind), as far as that is certain.

    Args:
        described_at: when it described itself, by its own clock: that was a few minutes ago at most.
        now: by the clock of this web node.
    """
    ahead = described_at - now
    if -_PERIODS - CLOCK_LEEWAY <= ahead <= CLOCK_LEEWAY:
        return 0.0
    return ahead


def _other_app(ours: WebNode, theirs: WebNode) -> Difference:
    under = "under the same secret" if ours.secrets == theirs.secrets else "under another secret"
    return Difference(
        "app_name",
        f"app_name, {under}",
        "if they are one farm, give every web node the same SHAREDSESSION_APP_NAME; two applications may share a store",
        is_fault=False,
        breaks=False,
        values=(BothValues("fingerprint", ours.app, theirs.app),),
    )


def _secrets(ours: Sequence[str], theirs: Sequence[str]) -> list[Difference]:
    if tuple(ours) == tuple(theirs):
        return []
    if set(ours) == set(theirs):
        fix = "put the secrets into the same order everywhere, newest first; then the rotation is complete"
        both = (_fingerprints(ours, theirs),)
        return [Difference("secret_key", "the order of the secrets", fix, breaks=False, values=both)]
    if ours[:1] and theirs[:1] and ours[0] in theirs and theirs[0] in ours:
        fix = "bring the same list of secrets to every web node before another one becomes the first"
        what, both = "the list of older or coming secrets", (_fingerprints(ours, theirs),)
        return [Difference("secret_key", what, fix, is_fault=False, breaks=False, values=both)]
    fix = "copy the same key_file (or SHAREDSESSION_SECRET_KEY) to every web node"
    return [Difference("secret_key", "the secrets", fix, values=(_fingerprints(ours, theirs),))]


def _fingerprints(ours: Sequence[str], theirs: Sequence[str]) -> BothValues:
    noun = "fingerprint" if max(len(ours), len(theirs)) == 1 else "fingerprints"
    return BothValues(noun, " ".join(ours) or "none", " ".join(theirs) or "none")


def _parts(ours: WebNode, theirs: WebNode) -> list[Difference]:
    """Returns differences in what both describe: another version may describe more."""
    mine, other = ours.parts, theirs.parts
    differing = {name for name in mine.keys() & other.keys() if mine[name] != other[name]}
    if "layout" in differing and _NO_RING in {mine["layout"], other["layout"]}:
        differing -= {"layout", "replicas"}
    elif "layout" in differing:
        differing.discard("backend")  # its digest is of the layout, too
    return [_part(name, ours, theirs) for name in sorted(differing)]


def _part(name: str, ours: WebNode, theirs: WebNode) -> Difference:
    what, fix = _PARTS.get(name, (name, _SAME.format(f"SHAREDSESSION_{name.upper()}")))
    return Difference(name, what, fix, values=_values(_NAMES.get(name, [name]), ours, theirs))


def _values(names: Sequence[str], ours: WebNode, theirs: WebNode) -> tuple[BothValues, ...]:
    """Returns those values of a part that differ, as far as both web nodes tell them."""
    mine, other = ours.values, theirs.values
    return tuple(
        BothValues(name if len(names) > 1 else "", mine[name], other[name])
        for name in names
        if name in mine and name in other and mine[name] != other[name]
    )


def _versions(ours: WebNode, theirs: WebNode) -> list[Difference]:
    if ours.version == theirs.version:
        return []
    fix = "nothing to do if an update is on its way; else install the same version everywhere"
    both = (BothValues("", ours.version, theirs.version),)
    return [Difference("version", "the version of the library", fix, is_fault=False, breaks=False, values=both)]


def _clock(ahead: float) -> Difference:
    minutes, where = round(abs(ahead) / 60), "ahead" if ahead > 0 else "behind"
    what = f"the time: theirs is about {minutes} minutes {where}"
    return Difference("clock", what, "keep the clocks of all web nodes together (NTP)", breaks=False)


# -- one node and all the others


class Disagreement(NamedTuple):
    """A difference, and the web nodes that differ so from this one."""

    difference: Difference
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.text}: {self.difference.fix}"

    @property
    def text(self) -> str:
        """The same without the fix."""
        some = ", ".join(self.names[:_SHOWN])
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        verb = "disagrees with" if self.difference.is_fault else "differs from"
        both = f" ({'; '.join(map(str, self.difference.values))})" if self.difference.values else ""
        return f"this web node {verb} {some}{more} on {self.difference.what}{both}"


def disagreements(ours: WebNode, others: Iterable[WebNode], now: float) -> list[Disagreement]:
    """Returns how one web node differs from others: each difference once, faults first."""
    found: dict[Difference, list[str]] = {}
    for theirs in others:
        ahead = clock_offset(theirs.at, now)
        clock = [_clock(ahead)] if ahead else []
        for difference in [*differences(ours, theirs), *clock]:
            found.setdefault(difference, []).append(theirs.name)
    found_once = [Disagreement(difference, tuple(dict.fromkeys(names))) for difference, names in found.items()]
    return sorted(found_once, key=lambda each: (not each.difference.is_fault, each.difference.part))


def is_odd_one_out(ours: WebNode, others: Iterable[WebNode]) -> bool:
    """Returns whether one web node is wrong: more of its application agree otherwise, or as many that are older.

    So a new web node with another secret refuses itself, and not the others.
    """
    sides: dict[object, list[WebNode]] = {}
    for node in [ours, *others]:
        if node.app == ours.app:
            sides.setdefault(_side(ours, node), []).append(node)
    return max(sides, key=lambda side: _weight(sides[side])) is not None


def leading(nodes: Iterable[WebNode]) -> dict[str, WebNode]:
    """Returns, for each application (a digest of its name), the oldest of the most web nodes that agree entirely."""
    sides: dict[tuple[str, object], list[WebNode]] = {}
    for node in nodes:
        sides.setdefault((node.app, (node.secrets, tuple(sorted(node.parts.items())))), []).append(node)
    lightest_first = sorted(sides.values(), key=_weight)
    return {side[0].app: min(side, key=lambda node: node.since) for side in lightest_first}


def _weight(nodes: Sequence[WebNode]) -> tuple[int, float]:
    return len(nodes), -min(node.since for node in nodes)


def _side(ours: WebNode, node: WebNode) -> object:
    """Returns with which web nodes one shares sessions: ``None`` with ours, else a value of its own."""
    if not any(difference.breaks for difference in differences(ours, node)):
        return None
    return frozenset(node.secrets), tuple(sorted(node.parts.items()))
