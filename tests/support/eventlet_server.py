"""One process under eventlet's own WSGI server: `python -m tests.support.eventlet_server module:name port`."""

import sys
import warnings

warnings.simplefilter("ignore")  # eventlet calls itself deprecated

import eventlet  # noqa: E402

eventlet.monkey_patch()  # before anything else is imported

from importlib import import_module  # noqa: E402

import eventlet.wsgi  # noqa: E402


def main(app: str, port: str) -> None:
    """Serves until the process is told to stop."""
    module, _, name = app.partition(":")
    served = getattr(import_module(module), name)
    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", int(port))), served, log_output=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
