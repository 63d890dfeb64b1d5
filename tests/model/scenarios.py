"""Who does what at the same time, and what must be true of it. How much goes wrong meanwhile, `cases` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.model import programs as do
from tests.model import properties as must
from tests.model.case import Bounds, Case
from tests.model.programs import Stored
from tests.model.world import IDLE

_TOMBSTONE = 2 * IDLE + 1260.0  # seconds


def two_writers_and_a_logout(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """Two requests that have read the session write it, while a third one ends it."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"A": do.writes(token, "a"), "B": do.writes(token, "b"), "logout": do.logs_out(token)},
        {
            "logout is final": must.logout_is_final(token, one_silent=_spares(nodes, bounds)),
            "writes stay": must.writes_stay(token),
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
        {
            "logout is final": must.logout_is_final(token, one_silent=_spares(nodes, bounds)),
            "writes stay": must.writes_stay(token),
        },
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
        {"writes stay": must.writes_stay(token), "it stays alive": must.stays_alive(token)},
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
        {"each counts once": must.writes_stay(token, most=count), "it stays alive": must.stays_alive(token)},
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
        {"writes stay": must.writes_stay(token, one_silent=_spares(2, bounds))},
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
        {"logout is final": must.logout_is_final(token, one_silent=_spares(nodes, bounds))},
        bounds,
        **options,
    )


def login_and_logout(nodes: int, bounds: Bounds, replicas: int = 2, **options: Any) -> Case:
    """A visitor logs in, and out again. What was sent to log in may still be under way."""
    stored = Stored(nodes, replicas)
    return _case(
        stored,
        {"visitor": do.logs_in_and_out},
        {"logout is final": must.new_session_has_ended},
        bounds,
        **options,
    )


def unread_logout(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A session is ended by a request that has not read it, and reaches no owner."""
    stored = Stored(nodes)
    return _case(
        stored,
        {"logout": do.logs_out(stored.token, looks=False)},
        {"logout is final": must.logout_is_final(stored.token)},
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
            "writes stay": must.writes_stay(token, one_silent=_spares(2, bounds)),
            "it is found": must.is_found(token),
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
        {"logout is final": must.logout_is_final(token, one_silent=_spares(nodes, bounds))},
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
        {"logout is final": _always(must.logout_is_final(token, fact="ended"), "ended")},
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
        {"the old ID is dead": must.old_id_is_dead(token, grace=grace > 0), "the new one lives": must.new_id_lives},
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
            "the old ID is dead": must.old_id_is_dead(token, grace=grace > 0),
            "logout is final": must.logout_is_final(token),
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
        {"the old ID is dead": must.old_id_is_dead(token)},
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
        {"all have ended": must.logged_out_everywhere(stored.tokens)},
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
        {"all have ended": must.logged_out_everywhere(stored.tokens)},
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
        {"all have ended": must.logged_out_everywhere(stored.tokens), "the new ID, too": _new_is_revoked},
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
            "the others have ended": must.logged_out_everywhere([other], fact="revoked others"),
            "its own goes on": must.spared(mine),
        },
        bounds,
        **options,
    )


def locked(nodes: int, bounds: Bounds, replicas: int = 2, **options: Any) -> Case:
    """Two requests count under the lock: no two save what they have read at the same time."""
    stored = Stored(nodes, replicas)
    token = stored.token
    return _case(
        stored,
        {"A": do.counts_under_lock(token, "A"), "B": do.counts_under_lock(token, "B")},
        {"no step is lost": must.writes_stay(token, most=2)},
        bounds,
        **options,
    )


def locked_by_one_that_stands_still(nodes: int, bounds: Bounds, replicas: int = 2, **options: Any) -> Case:
    """The same, where a lease may run out while its holder stands still."""
    return locked(nodes, bounds, replicas, times=(11.0,), **options)


def life_of_a_tombstone(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """Readers find a tombstone and leave its life alone, late or not."""
    stored = Stored(nodes)
    token = stored.token
    stored.nodes = stored.after(do.logs_out(token))
    properties = {"it keeps its life": must.tombstones_keep_their_life(stored.key, _TOMBSTONE)}
    actors = {name: do.reads(token, may_end=True) for name in ("reader", "another")}
    return _case(stored, actors, properties, bounds, lives=True, **options)


def bound_of_a_missed_logout(nodes: int, bounds: Bounds, **options: Any) -> Case:
    """A node misses a logout, and the tombstones are lost. One idle timeout later the session is dead all the same."""
    stored = Stored(nodes)
    token = stored.token
    return _case(
        stored,
        {"logout": do.logs_out(token)},
        {"dead after an idle timeout": must.dead_after(token, IDLE + 1)},
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
        {"writes stay": must.writes_stay(token), "it is found": must.is_found(token)},
        bounds,
        **options,
    )


def _case(
    stored: Stored, actors: Mapping[str, Any], properties: Mapping[str, Any], bounds: Bounds, **more: Any
) -> Case:
    return Case(farm=stored.farm, actors=actors, nodes=stored.nodes, properties=properties, bounds=bounds, **more)


def _spares(nodes: int, bounds: Bounds) -> bool:
    """Returns whether one more node may be silent: where N = 2, only if nothing else has gone wrong."""
    return nodes > 2 or bounds == Bounds()


def _always(holds: Any, fact: str) -> Any:
    """A property of a world in which something was told before it began."""
    return lambda view: holds(view._replace(facts=view.facts | {fact}))


def _new_is_revoked(view: Any) -> str | None:
    tokens = [fact.split()[1].encode() for fact in view.facts if fact.startswith("renewed ")]
    wrong: str | None = must.logged_out_everywhere(tokens)(view)
    return wrong
