"""Python processes for a handful of milliseconds each: forked from one that has imported all they need.

The module is what that process runs, too. It has one thread, does nothing but fork, and ends with whoever started it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# The clock is set before anything is imported, so that nobody has kept the right one.
_START = """
import sys, time
ahead, now = float(sys.argv[1]), time.time
if ahead:
    time.time = lambda: now() + ahead
from tests.support.nursery import main
main()
"""


@cache
def _nursery(ahead: float, module: str) -> tuple[socket.socket, "subprocess.Popen[bytes]"]:
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-c", _START, str(ahead), module, str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT)
    return ours, process


def fork(module: str, arguments: Any, ahead: float = 0.0) -> tuple[int, socket.socket]:
    """Starts a process that calls ``module.main(connection, *arguments)``.

    Args:
        module: its name.
        arguments: JSON-able.
        ahead: seconds by which its clock is ahead of ours.

    Returns:
        Its process ID, and our end of the connection.
    """
    ours, theirs = socket.socketpair()
    nursery, _ = _nursery(ahead, module)
    with theirs:
        socket.send_fds(nursery, [json.dumps(arguments).encode()], [theirs.fileno()])
    return int(nursery.recv(64)), ours


def main() -> None:
    """Forks a process for each request, until nobody can ask any more."""
    work = import_module(sys.argv[2]).main
    asker = socket.socket(fileno=int(sys.argv[3]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        arguments, handles, _, _ = socket.recv_fds(asker, 65536, 1)
        if not arguments:
            return
        connection = socket.socket(fileno=handles[0])
        child = os.fork()
        if not child:
            asker.close()
            work(connection, *json.loads(arguments))
            return
        connection.close()
        asker.sendall(b"%d" % child)
