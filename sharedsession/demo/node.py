"""One web node: the shop under uvicorn, in a process of its own.

The supervisor starts it as ``python -m sharedsession.demo.node web-1``. Its settings, the secret among them, come from
``SHAREDSESSION_…`` variables. It prints the port at which it listens, and exits when its standard input closes.
"""

import asyncio
import logging
import os
import sys
import threading

import uvicorn

from sharedsession.demo.loopback import drop_development_warning, listen, port_of
from sharedsession.demo.processes import die_with_parent
from sharedsession.demo.shop import shop
from sharedsession.environment import REAL

EXIT_LIMIT = 2.0
"""Seconds from the exit of the supervisor to the exit of this process, whatever it is doing."""


def main(node: str) -> None:
    """Serves until the supervisor closes standard input, or is gone."""
    configure_log(node)
    if before_start := die_with_parent(os.getppid()):
        before_start()
    config = uvicorn.Config(
        shop(node),
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listener = listen()
    print(port_of(listener), flush=True)
    threading.Thread(target=exit_with_supervisor, args=(server,), daemon=True).start()
    asyncio.run(server.serve(sockets=[listener]))


def configure_log(node: str) -> None:
    """Puts the node's name in front of its warnings."""
    logging.basicConfig(format=f"{node}: %(message)s")
    drop_development_warning()


def exit_with_supervisor(server: uvicorn.Server) -> None:
    """Waits for the end of standard input, which is the exit of the supervisor, and exits as well."""
    sys.stdin.buffer.read()
    server.should_exit = True
    REAL.sleep(EXIT_LIMIT)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
