"""Three-way merge of a session by top-level key, on packed values: a value is changed if its bytes are.

Two requests that changed different keys both keep their change. Where both changed the same key, the one that commits
last wins, with one exception: a value that was only changed in place does not bring back a key that the other request
removed, since applications log a user out by removing a key.
"""

from collections.abc import Callable, Mapping, Set
from types import MappingProxyType


def merge(
    base: Mapping[str, bytes],
    ours: Mapping[str, bytes],
    theirs: Mapping[str, bytes],
    assigned: Set[str],
    replays: Mapping[str, Callable[[bytes | None], bytes]] = MappingProxyType({}),
) -> dict[str, bytes]:
    """Applies what changed between ``base`` and ``ours`` to ``theirs``.

    Args:
        base: the session as this request read it.
        ours: the session as this request leaves it.
        theirs: the session as it stands in the store now.
        assigned: the keys that this request set anew, rather than changing their value in place.
        replays: for the keys that this request changed by repeatable steps, what makes ours from theirs.

    Returns:
        The merged session, in the order of ``theirs``, new keys last.
    """
    merged = dict(theirs)
    for key in base.keys() - ours.keys():
        merged.pop(key, None)
    for key, value in ours.items():
        if key in replays:
            merged[key] = replays[key](theirs.get(key))
            continue
        changed = base.get(key) != value
        taken_out = key in base and key not in theirs
        if changed and (not taken_out or key in assigned):
            merged[key] = value
    return merged
