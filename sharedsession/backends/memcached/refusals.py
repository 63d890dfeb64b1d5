"""What memcached refuses, and the fix: an error reply -> one line that repeats no word of the request. Without I/O."""

from sharedsession.backends.memcached.protocol import Reply
from sharedsession.backends.wire.refusals import explained, plain, rule

_RULES = (
    rule(
        r"Too many open connections", "Too many open connections", "start it with a larger -c, or with fewer web nodes"
    ),
    rule(r"too large", "the item is too large", "lower max_size, or start it with a larger -I"),
    rule(r"[Oo]ut of memory", "out of memory", "start it with more memory (-m), and without -M"),
)
_NO_META = (
    rule(
        r"^ERROR( Command not supported)?$",
        "it knows no meta commands",
        "it is older than 1.6, or a proxy: update it, or add ?protocol=text to the backend's URL",
    ),
)
_NO_GATS = (
    rule(
        r"^ERROR( Command not supported)?$",
        "it does not know gats, cas or add",
        "update it (memcached 1.5.3 or newer), or name another server",
    ),
)


def refusal(reply: Reply, *, has_meta: bool) -> str:
    """Returns what a reply refuses and the fix, to stand behind the name of the server.

    Args:
        reply: that is not what was asked for.
        has_meta: whether it was asked with the meta commands.
    """
    if not reply.is_error:
        return f"gives an answer that fits no request ({plain(as_text(reply))}): it is damaged, or no memcached"
    rules = (*_RULES, *(_NO_META if has_meta else _NO_GATS))
    return f"refuses a request: {explained(as_text(reply), rules, ())}"


def closes(reply: Reply) -> str | None:
    """Returns the refusal of a reply behind which a server hangs up; ``None`` if it is another."""
    text = as_text(reply)
    return f"refuses us: {explained(text, _RULES[:1], ())}" if _RULES[0].pattern.search(text) else None


def is_full(reply: object) -> bool:
    """Returns whether the server has no memory for the item."""
    return isinstance(reply, Reply) and reply.is_error and _RULES[2].pattern.search(as_text(reply)) is not None


def is_too_large(reply: Reply) -> bool:
    """Returns whether the item will never fit."""
    return reply.is_error and "too large" in as_text(reply)


def as_text(reply: Reply) -> str:
    """Returns a reply as text, of 80 characters at most."""
    return b" ".join([reply.status, *reply.flags]).decode("latin-1")[:80]
