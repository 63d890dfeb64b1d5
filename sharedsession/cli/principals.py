"""``sharedsession list PRINCIPAL`` and ``sharedsession revoke``: lists and ends the sessions of a principal.

What is printed is public: handles, never an ID or a token. Exit codes: 0 done, 1 ``revoke`` found no such session, 2
the store did not answer or did not confirm it, or a setting is wrong.
"""

import argparse
import json
from collections.abc import Sequence

from sharedsession.cli import options
from sharedsession.cli.format import table
from sharedsession.cli.parser import OneLineParser
from sharedsession.engine import SessionInfo
from sharedsession.errors import ConfigurationError

_DASH = "one that begins with '-' stands behind '--'"
_LONGEST = 80  # characters of what a client sent


def add_to(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    """Describes the arguments of both."""
    list_parser = commands.add_parser(
        "list", help="list the sessions of a principal", description="The sessions that are alive, oldest first."
    )
    list_parser.add_argument("principal", metavar="PRINCIPAL", help="as the application sets session.principal")
    options.add_settings(list_parser)
    list_parser.set_defaults(command=run_list)
    revoke_parser = commands.add_parser(
        "revoke",
        help="end a session, or all of a principal",
        description="Ends sessions everywhere, at once. Exit code 1 if there was none, 2 if the store did not confirm.",
    )
    revoke_parser.add_argument(
        "id", metavar="ID", nargs="?", help=f"of one session, as `sharedsession list` shows it; {_DASH}"
    )
    revoke_parser.add_argument("--all", metavar="PRINCIPAL", help="end all sessions of a principal")
    revoke_parser.add_argument("--except", metavar="ID", dest="except_", help="with --all: a session that goes on")
    options.add_settings(revoke_parser)
    revoke_parser.set_defaults(command=run_revoke)


def run_list(arguments: argparse.Namespace) -> int:
    """Prints the sessions."""
    with options.manager_of(arguments) as manager:
        sessions = manager.list(arguments.principal)
    print(json.dumps([_facts(session) for session in sessions]) if arguments.json else _text(sessions))
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Ends the sessions that were named, and prints their number."""
    _check(arguments)
    with options.manager_of(arguments) as manager:
        if arguments.all is not None:
            ended = manager.revoke_all(arguments.all, except_=arguments.except_)
        else:
            ended = int(manager.revoke(arguments.id))
    print(json.dumps({"ended": ended}) if arguments.json else _ended(ended))
    return 0 if ended else 1


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.id is None) == (arguments.all is None):
        raise ConfigurationError("give either ID or --all PRINCIPAL (see sharedsession revoke --help)")
    if arguments.except_ is not None and arguments.all is None:
        raise ConfigurationError("--except goes with --all PRINCIPAL")


def _facts(session: SessionInfo) -> dict[str, str | None]:
    return {
        "id": session.id,
        "created_at": session.created_at.isoformat(),
        "user_agent": session.user_agent,
        "address": session.address,
    }


def _text(sessions: Sequence[SessionInfo]) -> str:
    if not sessions:
        return "no session"
    rows = [
        [session.id, f"{session.created_at:%Y-%m-%d %H:%M:%S}", _shown(session.address), _shown(session.user_agent)]
        for session in sessions
    ]
    return table("<<<<", ["id", "began (UTC)", "address", "browser"], rows)


def _shown(text: str | None) -> str:
    """Returns what a client sent, fit for a terminal."""
    return "".join(letter for letter in text or "-" if letter.isprintable())[:_LONGEST]


def _ended(number: int) -> str:
    return {0: "no such session", 1: "1 session ended"}.get(number, f"{number} sessions ended")
