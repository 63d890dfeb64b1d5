"""``sharedsession list PRINCIPAL`` and ``sharedsession revoke``: whose sessions there are, and their end.

What is printed is public: handles, never an ID or a token. Exit codes of ``revoke``: 0 ended, 1 there was nothing to
end, or the store did not confirm it.
"""

import argparse
import json
from typing import TYPE_CHECKING, Any

from sharedsession.cli import options
from sharedsession.cli.format import table
from sharedsession.errors import ConfigurationError

if TYPE_CHECKING:
    from sharedsession.engine.principals import SessionInfo

_DASH = "one that begins with '-' stands behind '--'"


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Describes the arguments of both."""
    lists = commands.add_parser(
        "list", help="list the sessions of a principal", description="The sessions that are alive, oldest first."
    )
    lists.add_argument("principal", metavar="PRINCIPAL", help="as the application sets session.principal")
    options.add_settings(lists)
    lists.set_defaults(command=options.guarded("list", run_list))
    revoke = commands.add_parser(
        "revoke",
        help="end a session, or all of a principal",
        description="Ends sessions everywhere, at once. Exit code 1 if there was none, or the store did not confirm.",
    )
    revoke.add_argument(
        "id", metavar="ID", nargs="?", help=f"of one session, as `sharedsession list` shows it; {_DASH}"
    )
    revoke.add_argument("--all", metavar="PRINCIPAL", help="end all sessions of a principal")
    revoke.add_argument("--except", metavar="ID", dest="spared", help="with --all: one that goes on")
    options.add_settings(revoke)
    revoke.set_defaults(command=options.guarded("revoke", run_revoke))


def run_list(arguments: argparse.Namespace) -> int:
    """Prints the sessions."""
    manager = options.manager_of(arguments)
    try:
        sessions = manager.list(arguments.principal)
    finally:
        options.close(manager.settings.backend)
    print(json.dumps([_facts(session) for session in sessions]) if arguments.json else _words(sessions))
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Ends what was named, and says how many there were."""
    _check(arguments)
    manager = options.manager_of(arguments)
    try:
        if arguments.all is not None:
            ended = manager.revoke_all(arguments.all, except_=arguments.spared)
        else:
            ended = int(manager.revoke(arguments.id))
    finally:
        options.close(manager.settings.backend)
    print(json.dumps({"ended": ended}) if arguments.json else _ended(ended))
    return 0 if ended else 1


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.id is None) == (arguments.all is None):
        raise ConfigurationError("say which: ID, or --all PRINCIPAL (see sharedsession revoke --help)")
    if arguments.spared is not None and arguments.all is None:
        raise ConfigurationError("--except goes with --all PRINCIPAL")


def _facts(session: "SessionInfo") -> dict[str, str | None]:
    return {
        "id": session.id,
        "created_at": session.created_at.isoformat(),
        "user_agent": session.user_agent,
        "address": session.address,
    }


def _words(sessions: "list[SessionInfo]") -> str:
    if not sessions:
        return "no session"
    rows = [
        [session.id, f"{session.created_at:%Y-%m-%d %H:%M:%S}", _shown(session.address), _shown(session.user_agent)]
        for session in sessions
    ]
    return table("<<<<", ["id", "began (UTC)", "address", "browser"], rows)


def _shown(text: str | None) -> str:
    """What a client said of itself, fit for a terminal."""
    return "".join(letter for letter in text or "-" if letter.isprintable())[:80]


def _ended(number: int) -> str:
    return {0: "no such session", 1: "1 session ended"}.get(number, f"{number} sessions ended")
