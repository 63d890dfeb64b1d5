"""What Redis refuses, and the fix: an error reply -> one line that repeats no word of the request. Without I/O.

An error of a command inside of a script has its code somewhere in the text, where the server is older than 7.0.
"""

import re
from collections.abc import Collection

from sharedsession.backends.wire.refusals import Rule, explained, plain, rule

_NOPERM = r"NOPERM|user executing the script can't|ACL failure in script|no permissions to "
_SCRIPT_ERROR = re.compile(r": -([A-Z]{2,}) ")
_CLUSTER = "it is a node of a Redis Cluster: name a Redis that is not part of one"


def _by_code(code: str, fix: str) -> Rule:
    return rule(rf"(^|: -){code} ", code, fix)


_RULES = (
    rule(_NOPERM, "NOPERM", "give the user of the backend's URL the rights that the documentation lists, on keys ss:*"),
    rule(r"WRONGPASS|ERR invalid password", "WRONGPASS", "compare user and password in the backend's URL with its own"),
    _by_code("NOAUTH", "put user:password@ in front of the host in the backend's URL"),
    rule(r"^(MOVED|ASK|CLUSTERDOWN|CROSSSLOT|TRYAGAIN) |in cluster mode", "CLUSTER", _CLUSTER),
    _by_code(
        "READONLY",
        "it is a replica: name the primary in the backend's URL, or an address that follows it at a failover",
    ),
    _by_code("OOM", "its memory is full: raise its maxmemory, and remove what else is in it"),
    _by_code("MISCONF", "it cannot save to its disk: make room there, and look into its own log"),
    _by_code("NOREPLICAS", "fewer replicas follow it than min-replicas-to-write: bring them back"),
    _by_code("MASTERDOWN", "it is a replica that has lost its primary: name the primary in the backend's URL"),
    _by_code("LOADING", "it reads its data after a start: it will answer when it has"),
    _by_code("BUSY", "a script of another program runs for too long: end it with SCRIPT KILL"),
    _by_code(
        "DENIED",
        "it is in protected mode, which lets in its own host only: give it a password (requirepass) and put "
        ":password@ in front of the host in the backend's URL",
    ),
    rule(
        r"without any password|no password is set",
        "it asks for none",
        "leave user and password out of the backend's URL",
    ),
    rule(r"(?i)number of arguments for 'auth'", "it knows no users", "it is older than Redis 6.2: update it"),
    rule(
        r"DB index",
        "it has no database of this number",
        "write a smaller number in the backend's URL, or none, or raise its setting databases",
    ),
    rule(r"max number of clients", "max number of clients reached", "raise its maxclients"),
)
_UNKNOWN = re.compile(r"(?i)unknown (redis )?command")
_NEEDED = (
    "sessions need Redis 6.2 or newer, or Valkey, with all commands that the documentation lists: update it, or do not "
    "hide the command (rename-command)"
)
_SENTINEL = "it is a Sentinel, which keeps no sessions: name the Redis that it watches"


def refusal(verb: str, error: str, version: str = "", words: Collection[str] | None = None) -> str:
    """Returns what is refused and the fix, to stand behind the name of the server.

    Args:
        verb: the name of the command.
        error: the server's text.
        version: what the server says that it is, if it is known.
        words: the other words of the request; ``None``: they are secret.
    """
    if _UNKNOWN.search(error):
        where = " or a command in that script" if verb == "EVAL" else ""
        fix = _SENTINEL if version.startswith("sentinel") else _NEEDED
        return f"refuses {verb}{where}: unknown command{f' to {version}' if version else ''}; {fix}"
    return f"refuses {verb}: {explained(error, _RULES, words)}"


def hang_up(error: str) -> str:
    """Returns what a server refuses that hangs up before it was asked anything, and the fix."""
    return f"it refuses us: {explained(error, _RULES, ())}"


def code_of(error: str) -> str:
    """Returns the code of an error, also of one inside of a script."""
    inside = _SCRIPT_ERROR.search(error) if error.startswith("ERR ") else None
    return inside[1] if inside else plain(error).partition(" ")[0]
