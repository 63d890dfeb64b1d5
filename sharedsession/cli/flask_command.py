"""``flask sharedsession …``: the command line, with the settings of the application that ``flask`` has loaded.

Flask imports it at each of its commands, by the entry point ``flask.commands``. So nothing else is imported before it
runs.
"""

import sys

import click


@click.command(
    "sharedsession",
    short_help="Shows, checks and ends sessions.",
    add_help_option=False,  # all arguments are for our own parser
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Runs one command of `sharedsession` inside of the application."""
    from sharedsession.cli.__main__ import main  # noqa: PLC0415 - most commands of Flask need nothing of it
    from sharedsession.cli.application import manager_of  # noqa: PLC0415

    script = context.obj  # ScriptInfo: it loads the application once, and keeps it
    sys.exit(main(arguments, prog="flask sharedsession", home=lambda: manager_of(script.load_app(), "flask")))
