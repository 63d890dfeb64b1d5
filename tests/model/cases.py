"""The cases: who does what at the same time, how much goes wrong meanwhile, and what must be true all the same.

Each is searched completely at its bounds. `CASES` is for every run of the tests; `LONG_CASES` are wider and take minutes
each, for `make model`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tests.model import programs as do
from tests.model.explorer import Bounds, Case
from tests.model.programs import Stored
from tests.model.world import IDLE

_TOMBSTONE = 2 * IDLE + 1260.0


def two_writers_and_a_logout(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """Two requests that have read the session write it, while a third one ends it."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"A": do.writes(token, "a"), "B": do.writes(token, "b"), "logout": do.logs_out(token)},
        {
            "logout is final": do.logout_is_final(token, one_silent=_spares(nodes, bounds)),
            "writes stay": do.writes_stay(token),
        },
        bounds,
        **options,
    )


def a_writer_and_a_logout(nodes: int, bounds: Bounds, replicas: int = 2, **options: Any) -> Case:
    """A request reads and writes the session while another one ends it."""
    stored = Stored(nodes, replicas)
    token = stored.token
    return _case(
        stored,
        {"A": do.writes(token, "a", loaded=False), "logout": do.logs_out(token, loaded=False)},
        {"logout is final": do.logout_is_final(token, one_silent=_spares(nodes, bounds)), "writes stay": do.writes_stay(token)},
        bounds,
        **options,
    )


def writers(nodes: int, bounds: Bounds, count: int = 2, replicas: int = 2, **options: Any) -> Case:
    """Requests change different keys at the same time: merges keep them all."""
    stored = Stored(nodes, replicas)
    token = stored.token
    return _case(
        stored,
        {name.upper(): do.writes(token, name) for name in "abcd"[:count]},
        {"writes stay": do.writes_stay(token), "it stays alive": do.stays_alive(token)},
        bounds,
        **options,
    )


def adders(nodes: int, bounds: Bounds, count: int = 2, replicas: int = 2, **options: Any) -> Case:
    """Requests add to one number at the same time: each counts once."""
    stored = Stored(nodes, replicas)
    token = stored.token
    return _case(
        stored,
        {name: do.adds(token, name) for name in "ABCD"[:count]},
        {"each counts once": do.writes_stay(token, most=count), "it stays alive": do.stays_alive(token)},
        bounds,
        **options,
    )


def readers_of_writes(nodes: int, bounds: Bounds, count: int = 2, **options: Any) -> Case:
    """Requests write while another web node reads twice: what was acknowledged, or once read, stays."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {**{name.upper(): do.writes(token, name) for name in "abc"[:count]}, "reader": do.reads(token, times=2)},
        {"writes stay": do.writes_stay(token, one_silent=_spares(2, bounds))},
        bounds,
        **options,
    )


def readers_of_a_logout(nodes: int, bounds: Bounds, replicas: int = 2, **options: Any) -> Case:
    """A session is ended while two web nodes read and renew it."""
    stored = Stored(nodes, replicas)
    token = stored.token
    reader = do.reads(token, times=2, may_end=True)
    return _case(
        stored,
        {"logout": do.logs_out(token), "reader": reader, "another": do.reads(token, may_end=True)},
        {"logout is final": do.logout_is_final(token, one_silent=_spares(nodes, bounds))},
        bounds,
        **options,
    )


def login_and_logout(nodes: int, bounds: Bounds, replicas: int = 2, **options: Any) -> Case:
    """A visitor logs in, and out again. What was sent to log in may still be under way."""
    stored = Stored(nodes, replicas)
    return _case(
        stored,
        {"visitor": do.logs_in_and_out},
        {"logout is final": do.new_session_has_ended},
        bounds,
        **options,
    )


def unread_logout(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A session is ended by a request that has not read it, and reaches no owner."""
    stored = Stored(nodes)
    return _case(
        stored,
        {"logout": do.logs_out(stored.token, looks=False)},
        {"logout is final": do.logout_is_final(stored.token)},
        bounds,
        **options,
    )


def repair(nodes: int, bounds: Bounds, lacking: int = 0, **options: Any) -> Case:
    """An owner has lost its copy. It gets one back while others write and read, and nothing newer is undone."""
    stored = Stored(nodes)
    token = stored.token
    stored.nodes = stored.lacking(lacking)
    return _case(
        stored,
        {"A": do.writes(token, "a"), "B": do.writes(token, "b"), "reader": do.reads(token)},
        {
            "writes stay": do.writes_stay(token, one_silent=_spares(2, bounds)),
            "it is found": do.is_found(token),
        },
        bounds,
        **options,
    )


def repair_and_logout(nodes: int, bounds: Bounds, lacking: int = 0, **options: Any) -> Case:
    """An owner has lost its copy, and readers give it one back while the session is ended."""
    stored = Stored(nodes)
    token = stored.token
    stored.nodes = stored.lacking(lacking)
    return _case(
        stored,
        {"logout": do.logs_out(token), "reader": do.reads(token, may_end=True), "A": do.writes(token, "a")},
        {"logout is final": do.logout_is_final(token, one_silent=_spares(nodes, bounds))},
        bounds,
        **options,
    )


def missed_logout(nodes: int, bounds: Bounds, missed: int = 0, **options: Any) -> Case:
    """One owner has missed a logout, and its web node is gone. Others read and write while the owner is back."""
    stored = Stored(nodes)
    token = stored.token
    stored.nodes = stored.after(do.logs_out(token), silent=[missed])
    return _case(
        stored,
        {"A": do.writes(token, "a", loaded=False), "reader": do.reads(token, may_end=True)},
        {"logout is final": _always(do.logout_is_final(token, fact="ended"), "ended")},
        bounds,
        **options,
    )


def new_id(nodes: int, bounds: Bounds, grace: float = 0.0, **options: Any) -> Case:
    """A session gets a new ID while a request with the old one writes and a third one reads."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"login": do.regenerates(token, grace=grace), "A": do.writes(token, "a")},
        {"the old ID is dead": do.old_id_is_dead(token, grace=grace > 0), "the new one lives": do.new_id_lives},
        bounds,
        **options,
    )


def new_id_and_logout(nodes: int, bounds: Bounds, grace: float = 0.0, **options: Any) -> Case:
    """A session gets a new ID while a request with the old one ends it: none of the two IDs is alive."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"login": do.regenerates(token, grace=grace), "logout": do.logs_out(token)},
        {
            "the old ID is dead": do.old_id_is_dead(token, grace=grace > 0),
            "logout is final": do.logout_is_final(token),
        },
        bounds,
        **options,
    )


def two_new_ids(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """Two requests give one session a new ID at the same time."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"login": do.regenerates(token), "another": do.regenerates(token)},
        {"the old ID is dead": do.old_id_is_dead(token)},
        bounds,
        **options,
    )


def log_out_everywhere(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A principal is logged out everywhere while one of its sessions writes."""
    stored = Stored(nodes, principal=do.PRINCIPAL)
    token = stored.token
    return _case(
        stored,
        {"revoke_all": do.revokes_all(), "A": do.writes(token, "a")},
        {"all have ended": do.logged_out_everywhere(stored.tokens)},
        bounds,
        **options,
    )


def log_out_everywhere_unlisted(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A principal is logged out everywhere, though the nodes have forgotten the list of its sessions."""
    stored = Stored(nodes, principal=do.PRINCIPAL)
    token = stored.token
    index = stored.farm.machine_key.of_principal(do.PRINCIPAL, "index")[0].store_key.encode()
    stored.nodes = tuple([stored.farm.nodes.without(node, index, 0.0) for node in stored.nodes])
    return _case(
        stored,
        {"revoke_all": do.revokes_all(), "A": do.writes(token, "a")},
        {"all have ended": do.logged_out_everywhere(stored.tokens)},
        bounds,
        **options,
    )


def log_out_everywhere_and_new_id(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A principal is logged out everywhere while one of its sessions gets a new ID."""
    stored = Stored(nodes, principal=do.PRINCIPAL)
    token = stored.token
    return _case(
        stored,
        {"revoke_all": do.revokes_all(), "login": do.regenerates(token)},
        {"all have ended": do.logged_out_everywhere(stored.tokens), "the new ID, too": _new_is_revoked},
        bounds,
        **options,
    )


def log_out_the_others(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A session ends the others of its principal while one of those writes."""
    stored = Stored(nodes, principal=do.PRINCIPAL, sessions=2)
    mine, other = stored.tokens
    return _case(
        stored,
        {"revoke_others": do.revokes_others(mine), "A": do.writes(other, "a")},
        {
            "the others have ended": do.logged_out_everywhere([other], fact="revoked others"),
            "its own goes on": do.spared(mine),
        },
        bounds,
        **options,
    )


def locked(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """Two requests count under the lock: no two save what they have read at the same time."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"A": do.counts_under_lock(token, "A"), "B": do.counts_under_lock(token, "B")},
        {"no step is lost": do.writes_stay(token, most=2)},
        bounds,
        **options,
    )


def life_of_a_tombstone(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """Readers find a tombstone and leave its life alone, late or not."""
    stored = Stored(nodes)
    token = stored.token
    stored.nodes = stored.after(do.logs_out(token))
    properties = {"it keeps its life": do.tombstones_keep_their_life(stored.key, _TOMBSTONE)}
    actors = {name: do.reads(token, may_end=True) for name in ("reader", "another")}
    return _case(stored, actors, properties, bounds, lives=True, **options)


def bound_of_a_missed_logout(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A node misses a logout, and the tombstones are lost. One idle timeout later the session is dead all the same."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"logout": do.logs_out(token)},
        {"dead after an idle timeout": do.dead_after(token, IDLE + 1)},
        bounds,
        times=(IDLE + 1,),
        **options,
    )


def a_node_is_emptied(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A node is restarted while two requests write: the session and what was acknowledged survive it."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"A": do.writes(token, "a"), "B": do.writes(token, "b")},
        {"writes stay": do.writes_stay(token), "it is found": do.is_found(token)},
        bounds,
        **options,
    )


def _case(stored: Stored, actors: Mapping[str, Any], properties: Mapping[str, Any], bounds: Bounds, **more: Any) -> Case:
    return Case(farm=stored.farm, actors=actors, nodes=stored.nodes, properties=properties, bounds=bounds, **more)


def _spares(nodes: int, bounds: Bounds) -> bool:
    """Returns whether one more node may be silent: where N = 2, only if nothing else has gone wrong."""
    return nodes > 2 or bounds == Bounds()


def _always(holds: Any, fact: str) -> Any:
    """A property of a world in which something was told before it began."""
    return lambda view: holds(view._replace(facts=view.facts | {fact}))


def _new_is_revoked(view: Any) -> str | None:
    tokens = [fact.split()[1].encode() for fact in view.facts if fact.startswith("renewed ")]
    wrong: str | None = do.logged_out_everywhere(tokens)(view)
    return wrong


_NONE = Bounds()
_LOSS = Bounds(losses=1)
_LATE = Bounds(duplicates=1)
_RESTART = Bounds(restarts=1)

Made = Callable[[], Case]


def _made(make: Callable[..., Case], nodes: int, bounds: Bounds, **options: Any) -> tuple[str, Made]:
    told = "".join([f", {name} {value}" for name, value in options.items() if name not in {"name", "cut"}])
    extra = f", {len(options['cut'])} cut off" if "cut" in options else ""
    name = f"{make.__name__.replace('_', ' ')}: N = {nodes}{told}{extra}, {bounds}"
    return name, lambda: make(nodes, bounds, name=name, **options)


def _named(cases: Sequence[tuple[str, Made]]) -> dict[str, Made]:
    names = dict(cases)
    assert len(names) == len(cases), "two cases have one name"
    return names


CASES = _named(
    [
        _made(two_writers_and_a_logout, 2, _NONE),
        _made(two_writers_and_a_logout, 3, _NONE),
        _made(a_writer_and_a_logout, 1, _LOSS, replicas=1),
        _made(a_writer_and_a_logout, 2, _LOSS),
        _made(a_writer_and_a_logout, 2, _LATE),
        _made(a_writer_and_a_logout, 3, _LOSS),
        _made(a_writer_and_a_logout, 2, _RESTART),
        _made(writers, 2, _LOSS),
        _made(writers, 3, _LOSS),
        _made(writers, 3, _NONE, count=3),
        _made(writers, 2, Bounds(losses=2, losing=[0])),
        _made(writers, 2, _NONE, cut={"A": [0]}),
        _made(adders, 2, _LOSS),
        _made(adders, 3, _LATE),
        _made(readers_of_writes, 2, _NONE),
        _made(readers_of_writes, 2, _NONE, cut={"reader": [0]}),
        _made(readers_of_a_logout, 2, _NONE),
        _made(readers_of_a_logout, 3, _NONE),
        _made(login_and_logout, 1, _LATE, replicas=1),
        _made(login_and_logout, 2, Bounds(losses=1, duplicates=1)),
        _made(unread_logout, 3, _LOSS, cut={"logout": [0, 1]}),
        _made(a_writer_and_a_logout, 1, _RESTART, replicas=1),
        _made(repair, 2, _NONE),
        _made(repair_and_logout, 2, _NONE),
        _made(missed_logout, 2, _LOSS),
        _made(missed_logout, 3, _LOSS, missed=1),
        _made(new_id, 2, _LOSS),
        _made(new_id, 3, _NONE, grace=30.0),
        _made(new_id_and_logout, 2, _LOSS),
        _made(new_id_and_logout, 3, _NONE, grace=30.0),
        _made(two_new_ids, 2, _NONE),
        _made(log_out_everywhere, 2, _NONE),
        _made(log_out_everywhere, 2, _LOSS),
        _made(log_out_everywhere_unlisted, 2, _LOSS),
        _made(log_out_everywhere_and_new_id, 2, _NONE),
        _made(log_out_the_others, 2, _NONE),
        _made(locked, 2, _NONE),
        _made(locked, 2, _LATE),
        _made(life_of_a_tombstone, 2, _NONE),
        _made(bound_of_a_missed_logout, 2, Bounds(losses=1, restarts=1)),
        _made(a_node_is_emptied, 3, _RESTART),
        _made(a_node_is_emptied, 2, _RESTART),
    ]
)

LONG_CASES = _named(
    [
        _made(two_writers_and_a_logout, 2, _LOSS),
        _made(two_writers_and_a_logout, 2, _LATE),
        _made(two_writers_and_a_logout, 2, _RESTART),
        _made(two_writers_and_a_logout, 3, _LOSS),
        _made(two_writers_and_a_logout, 3, _LATE),
        _made(two_writers_and_a_logout, 3, _RESTART),
        _made(a_writer_and_a_logout, 2, Bounds(losses=1, duplicates=1)),
        _made(a_writer_and_a_logout, 3, Bounds(losses=2, losing=[0])),
        _made(a_writer_and_a_logout, 3, Bounds(losses=2, losing=[1])),
        _made(a_writer_and_a_logout, 3, Bounds(losses=1, restarts=1, losing=[0], frail=[0])),
        _made(a_writer_and_a_logout, 3, Bounds(losses=1, restarts=1, losing=[1], frail=[1])),
        _made(writers, 3, _LOSS, count=3),
        _made(writers, 2, _LOSS, count=3),
        _made(writers, 2, Bounds(losses=3, losing=[0])),
        _made(writers, 2, Bounds(losses=3, losing=[1])),
        _made(writers, 2, Bounds(losses=1, duplicates=1, losing=[0])),
        _made(writers, 3, Bounds(losses=1, duplicates=1)),
        _made(adders, 2, _NONE, count=3),
        _made(adders, 3, Bounds(losses=2, losing=[0]), count=2),
        _made(adders, 3, _LOSS, count=3),
        _made(readers_of_writes, 2, _LOSS),
        _made(readers_of_writes, 2, _LATE),
        _made(readers_of_writes, 3, _LOSS),
        _made(readers_of_a_logout, 2, _LOSS),
        _made(readers_of_a_logout, 3, _LATE),
        _made(repair, 2, _LATE),
        _made(repair, 3, _NONE, lacking=1),
        _made(repair_and_logout, 3, _LATE),
        _made(missed_logout, 3, Bounds(losses=2, losing=[0])),
        _made(new_id, 3, _LOSS),
        _made(new_id, 2, _LATE),
        _made(new_id_and_logout, 2, _LATE),
        _made(new_id_and_logout, 3, _LOSS),
        _made(new_id_and_logout, 2, _LOSS, grace=30.0),
        _made(two_new_ids, 3, _LOSS),
        _made(log_out_everywhere, 3, _LOSS),
        _made(log_out_everywhere, 2, _RESTART),
        _made(log_out_everywhere_and_new_id, 3, _NONE),
        _made(log_out_the_others, 2, _LOSS),
        _made(log_out_the_others, 3, _NONE),
        _made(locked, 3, _NONE),
        _made(locked, 2, _RESTART),
        _made(life_of_a_tombstone, 3, _NONE),
        _made(life_of_a_tombstone, 2, _LOSS),
        _made(bound_of_a_missed_logout, 3, Bounds(losses=2, restarts=2)),
        _made(a_node_is_emptied, 3, Bounds(restarts=1, losses=1, losing=[0], frail=[0])),
    ]
)


class Limit(NamedTuple):
    """What is not promised.

    Attributes:
        case: in which it happens.
        named: how docs/promises.md names it.
    """

    case: Made
    named: str


def _limit(named: str, make: Callable[..., Case], nodes: int, bounds: Bounds, **options: Any) -> tuple[str, Limit]:
    name, case = _made(make, nodes, bounds, **options)
    return f"{name} (limit)", Limit(case, named)


LIMITS: dict[str, Limit] = dict(
    [
        _limit(
            "With two nodes: one web node is cut off from the first, another one from the second.",
            writers,
            2,
            _NONE,
            cut={"A": [0], "B": [1]},
        ),
        _limit("on a ring while both owners of the session can be reached", locked, 2, _LOSS),
        _limit("a second fault, of that node, undoes it", a_writer_and_a_logout, 2, Bounds(losses=1, restarts=1)),
    ]
)
