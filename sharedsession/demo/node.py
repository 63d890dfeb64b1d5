"""One web node: the shop under uvicorn, in a process of its own.

The farm starts it as ``python -m sharedsession.demo.node web-1``. Its settings, the secret among them, come
from ``SHAREDSESSION_…`` variables. It says at which port it listens, and ends when its standard input closes.
"""

import asyncio
import logging
import os
import sys
import threading
import time

import uvicorn

from sharedsession.demo.loopback import hush_development, listen, port_of
from sharedsession.demo.processes import die_with_parent
from sharedsession.demo.shop import shop

LAST_WORD = 2.0
"""Seconds from the end of the supervisor to the end of this process, whatever it is doing."""


def main(node: str) -> None:
    """Serves until told to stop, or until the supervisor is gone."""
    speak_as(node)
    if follow := die_with_parent(os.getppid()):
        follow()
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
    threading.Thread(target=end_with_supervisor, args=(server,), daemon=True).start()
    asyncio.run(server.serve(sockets=[listener]))


def speak_as(node: str) -> None:
    """Puts the node's name before its warnings, less the one that this is no production: it is a demo."""
    logging.basicConfig(format=f"{node}: %(message)s")
    hush_development()


def end_with_supervisor(server: uvicorn.Server) -> None:
    """Waits for the end of standard input, which is the end of the supervisor, and ends this process."""
    sys.stdin.buffer.read()
    server.should_exit = True
    time.sleep(LAST_WORD)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
