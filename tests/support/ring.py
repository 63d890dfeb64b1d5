"""Three memcached nodes that look like one server to a test."""

from collections.abc import Sequence

from tests.support.servers import Memcached

NAMES = "abcdefgh"


class Ring:
    """A ring of real memcached processes.

    Args:
        servers: the nodes.
        options: of the URL.
    """

    def __init__(self, servers: Sequence[Memcached], options: str = "replicas=2") -> None:
        self.servers = list(servers)
        self.options = options

    @property
    def url(self) -> str:
        return self.url_of(range(len(self.servers)))

    def url_of(self, members: Sequence[int]) -> str:
        """The URL of a ring of some of the nodes; each keeps its name."""
        nodes = ",".join(f"{NAMES[n]}=127.0.0.1:{self.servers[n].port}" for n in members)
        return f"memcached://{nodes}?{self.options}"

    def flush(self) -> None:
        for server in self.servers:
            server.flush()

    def dump(self) -> dict[str, bytes]:
        return {key: value for server in self.servers for key, value in server.dump().items()}

    def put(self, key: str, value: bytes) -> None:
        """Overwrites every copy of a key behind everybody's back."""
        for server in self.servers:
            if key in server.dump():
                server.put(key, value)

    def heal(self) -> None:
        """All nodes run, and are empty."""
        for server in self.servers:
            server.resume()
            if server.alive:
                server.flush()
            else:
                server.restart()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()
