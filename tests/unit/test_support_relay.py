"""The relay, on a real memcached: it counts right, breaks only what it should, and leaves nothing behind."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.processes import Server
from tests.support.relay import Relay
from tests.support.servers import Memcached
from tests.unit.test_support import _ask, _connect, _refused, _soon


@pytest.fixture
def relay(memcached: Memcached) -> Iterator[Relay]:
    """A relay in front of memcached."""
    with Relay(memcached.port) as relay:
        yield relay


def test_the_relay_counts_round_trips_and_bytes_over_all_connections(relay: Relay) -> None:
    """Three questions are three trips, on however many connections."""
    with _connect(relay.port) as one, _connect(relay.port) as two:
        assert (_ask(one), _ask(one), _ask(two)) == (b"MN\r\n",) * 3
    assert (relay.round_trips, relay.requests, relay.connections) == (3, 3, 2)
    assert (relay.bytes_up, relay.bytes_down) == (12, 12)
    relay.reset_counts()
    assert (relay.round_trips, relay.bytes_up, relay.connections) == (0, 0, 0)


def test_requests_sent_without_waiting_are_one_round_trip(relay: Relay) -> None:
    """Though they be several chunks."""
    relay.hold()
    with _connect(relay.port) as connection:
        for sent in (1, 2, 3):
            connection.sendall(b"mn\r\n")
            assert _soon(lambda sent=sent: relay.requests == sent)  # type: ignore[misc]
        relay.release()
        assert connection.recv(100)
    assert (relay.round_trips, relay.requests) == (1, 3)


def test_hold_keeps_replies_back_until_released(relay: Relay) -> None:
    """The server has done its work all the same."""
    relay.hold()
    with _connect(relay.port, timeout=0.05) as connection:
        with pytest.raises(TimeoutError):
            _ask(connection, b"set a 0 9 1\r\nx\r\n")
        with _connect(relay.target_port) as direct:
            assert _soon(lambda: _ask(direct, b"mg a v\r\n") == b"VA 1\r\nx\r\n")
        relay.release()
        assert connection.recv(100) == b"STORED\r\n"


def test_delay_delivers_late_and_in_order(relay: Relay) -> None:
    """A reply that came later does not overtake when the delay ends."""
    arrived = threading.Event()

    def notice(reply: bytes) -> bytes:
        arrived.set()
        return reply

    relay.on_reply(notice)
    relay.delay(0.05)
    begun = time.monotonic()
    with _connect(relay.port) as connection, connection.makefile("rb") as replies:
        connection.sendall(b"mn\r\n")
        assert arrived.wait(10)
        relay.delay(0)
        connection.sendall(b"version\r\n")
        assert replies.readline() == b"MN\r\n"
        assert replies.readline().startswith(b"VERSION")
    assert time.monotonic() - begun >= 0.04


def test_cut_resets_live_connections_and_lets_new_ones_in(relay: Relay) -> None:
    """As a dying node does."""
    with _connect(relay.port) as connection:
        _ask(connection)
        relay.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with _connect(relay.port) as connection:
        assert _ask(connection) == b"MN\r\n"


def test_refuse_keeps_new_connections_out_and_live_ones_going(relay: Relay) -> None:
    """Until it is taken back, on the same port."""
    with _connect(relay.port) as connection:
        _ask(connection)
        relay.refuse(True)
        assert _refused(relay.port)
        assert _ask(connection) == b"MN\r\n"
    relay.refuse(False)
    with _connect(relay.port) as connection:
        assert _ask(connection) == b"MN\r\n"


def test_replies_can_be_rewritten_and_swallowed(relay: Relay) -> None:
    """To damage what the server said."""
    relay.on_reply(lambda reply: reply.replace(b"MN", b"NM"))
    with _connect(relay.port) as connection:
        assert _ask(connection) == b"NM\r\n"
        relay.on_reply(lambda reply: b"")
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            _ask(connection)


def test_requests_that_are_late_arrive_though_their_client_has_gone(relay: Relay) -> None:
    """From the first one with the bytes that were asked for; what came before is answered at once."""
    with _connect(relay.port) as connection:
        relay.hold_requests(b"late")
        _ask(connection)
        connection.sendall(b"set late 0 0 1\r\n1\r\n")
        connection.sendall(b"set behind 0 0 1\r\n1\r\n")
        assert _soon(lambda: relay.bytes_up == 4 + 19 + 21)
    assert relay.held_requests
    relay.cut()
    with _connect(relay.target_port) as direct:
        assert _ask(direct, b"mg late\r\n") == b"EN\r\n"
        relay.release_requests()
        assert _soon(lambda: _ask(direct, b"mg behind\r\n") == b"HD\r\n")
        assert _ask(direct, b"mg late\r\n") == b"HD\r\n"


def test_an_error_in_a_rewriting_function_comes_out_at_the_end(memcached: Memcached) -> None:
    """A mistake in a test does not look like a fault of the library."""

    def use_it_wrongly() -> None:
        with Relay(memcached.port) as relay:
            relay.on_reply(lambda reply: b"x" * (1 // 0))
            with _connect(relay.port) as connection, pytest.raises(ConnectionResetError):
                _ask(connection)

    with pytest.raises(ZeroDivisionError):
        use_it_wrongly()


def test_the_end_of_a_server_reaches_the_client_and_a_dead_one_resets(fresh: Callable[..., Any]) -> None:
    """A relay hides no failure."""
    server: Server = fresh("memcached")
    with Relay(server.port) as relay:
        with _connect(relay.port) as connection:
            _ask(connection)
            server.kill()
            assert connection.recv(1) == b""
        with pytest.raises(ConnectionResetError), _connect(relay.port) as connection:
            connection.recv(1)


def test_a_closed_relay_leaves_no_thread_no_port_and_no_connection(memcached: Memcached) -> None:
    """Even with clients, held replies and a big value on the way."""
    memcached.put("big", b"x" * 900_000)
    before = set(threading.enumerate())
    with Relay(memcached.port) as relay:
        connections = [_connect(relay.port) for _ in range(20)]
        relay.hold()
        for connection in connections:
            connection.sendall(b"get big\r\n")
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile
    assert _refused(relay.port)
    for connection in connections:
        with connection, pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_many_clients_at_once_are_counted_right(relay: Relay) -> None:
    """With a value of many chunks each."""
    with _connect(relay.target_port) as direct:
        _ask(direct, b"set big 0 0 500000\r\n" + b"x" * 500_000 + b"\r\n")

    def read() -> None:
        with _connect(relay.port) as connection, connection.makefile("rb") as replies:
            for _ in range(5):
                connection.sendall(b"mg big v\r\n")
                assert replies.readline() == b"VA 500000\r\n"
                assert len(replies.read(500_002)) == 500_002

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (relay.round_trips, relay.connections, relay.bytes_down) == (40, 8, 40 * 500_013)
