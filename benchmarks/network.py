"""A network of some milliseconds: relays in a process of their own, so that what they cost is not the web node's.

python -m benchmarks.network 0.001 11211 11212      their ports as JSON on standard output; ends with standard input
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.processes import PATIENCE
from tests.support.relay import Relay


@contextmanager
def delayed(ports: Sequence[int], seconds: float) -> Iterator[list[int]]:
    """Yields a port for each of these, behind which a reply takes so much longer."""
    command = [sys.executable, "-m", "benchmarks.network", str(seconds), *map(str, ports)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603  (ourselves)
    assert process.stdin  # noqa: S101  (for the type checker)
    assert process.stdout  # noqa: S101
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(PATIENCE)
        process.stdout.close()


def main(seconds: float, ports: Sequence[int]) -> None:
    """Relays until nobody is there any more."""
    with ExitStack() as stack:
        relays = [stack.enter_context(Relay(port)) for port in ports]
        for relay in relays:
            relay.delay(seconds)
        sys.stdout.write(json.dumps([relay.port for relay in relays]) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(float(sys.argv[1]), [int(port) for port in sys.argv[2:]])
