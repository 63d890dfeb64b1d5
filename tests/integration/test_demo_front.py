"""The demo's front against web nodes that misbehave: what is asked again, what never, and how it ends."""

import asyncio
import re
from contextlib import AsyncExitStack
from functools import partial

import pytest

from sharedsession.demo import front
from sharedsession.demo.front import Front
from sharedsession.demo.http1 import MAX_BODY
from sharedsession.demo.loopback import free_port, listen
from sharedsession.demo.webprocess import WebProcess

GET = b"GET / HTTP/1.1\r\nHost: farm\r\nConnection: close\r\n\r\n"
POST = b"POST /cart HTTP/1.1\r\nHost: farm\r\nContent-Length: 8\r\nConnection: close\r\n\r\nitem=tea"

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
NO_LENGTH = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\n\r\nfine"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi"
LONG_CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + 100_000 * b"x"
NO_STORE = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nwait"
DIES = b""
NO_HTTP = b"-ERR unknown command\r\n\r\n"
HANGS = None
REFUSES = "no process listens"


class Stub(WebProcess):
    """A web node that is up, as far as the front knows."""

    def __init__(self, port):
        super().__init__("web-1", {})
        self.port = port

    @property
    def is_up(self):
        return True


async def behave(answer, seen, reader, writer):
    """Reads a request, and answers with some bytes or not at all."""
    seen.append(await reader.readuntil(b"\r\n\r\n"))
    if answer is HANGS:
        await reader.read()
    else:
        writer.write(answer)
    writer.close()


async def talk(sent, answers, host="127.0.0.1:{}"):
    """Sends bytes through a front to nodes, reads to the end. Returns the answer, and what each node saw."""
    seen = [[] for _ in answers]
    nodes = []
    async with AsyncExitStack() as stack:
        for answer, requests in zip(answers, seen, strict=True):
            port = free_port()
            if answer is not REFUSES:
                server = await asyncio.start_server(partial(behave, answer, requests), "127.0.0.1", port)
                stack.callback(server.close)
            nodes.append(Stub(port))
        running = Front(nodes)
        stack.push_async_callback(running.close)
        port = await running.open(listen())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        writer.write(sent.replace(b"Host: farm", b"Host: HOST").replace(b"HOST", host.format(port).encode()))
        writer.write_eof()
        return await reader.read(), seen


def ask(sent, *answers, host="127.0.0.1:{}"):
    """Same as `talk`, from outside a loop, with the number of requests each node saw."""
    answer, seen = asyncio.run(talk(sent, answers, host))
    return answer.decode(), [len(requests) for requests in seen]


def test_a_get_is_asked_again_elsewhere():
    """Whether a node refuses, dies before it answered or in the middle of a page, the next one answers."""
    for misbehaviour in (REFUSES, DIES, CUT, NO_HTTP):
        answer, seen = ask(GET, misbehaviour, GOOD)
        assert answer.endswith("fine")
        assert seen[1] == 1


def test_a_request_asked_again_has_the_same_number():
    """So a node can tell that it was counted before; the next request has another."""
    twice = GET.replace(b"Connection: close\r\n", b"") + GET
    _, seen = asyncio.run(talk(twice, [DIES, GOOD]))
    numbers = [re.search(rb"X-Farm-Request: (\d+)", request)[1] for requests in seen for request in requests]
    assert len(numbers) == 3
    assert len(set(numbers)) == 2


def test_a_get_does_not_wait_for_a_node_that_hangs(monkeypatch):
    """After a while the next one is asked."""
    monkeypatch.setattr(front, "ANSWER_LIMIT", 0.05)
    answer, seen = ask(GET, HANGS, GOOD)
    assert answer.endswith("fine")
    assert seen == [1, 1]


def test_a_post_goes_on_if_nobody_saw_it():
    """A refused connection carried nothing."""
    answer, seen = ask(POST, REFUSES, GOOD)
    assert answer.endswith("fine")
    assert seen == [0, 1]


def test_a_post_is_never_carried_out_twice():
    """A node that died may have done it, so the visitor is told."""
    answer, seen = ask(POST, DIES, GOOD)
    assert answer.startswith("HTTP/1.1 502 ")
    assert seen == [1, 0]


def test_with_no_node_left_the_visitor_is_told():
    """The page offers to start one."""
    answer, _ = ask(GET, REFUSES, DIES)
    assert answer.startswith("HTTP/1.1 503 ")
    assert "Retry-After" in answer


def test_a_store_that_is_away_is_a_page_of_the_shop():
    """In the place of a web node's 503 in plain text, with its Retry-After and the node's name; asked once."""
    answer, seen = ask(POST, NO_STORE, GOOD)
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 503 ")
    assert "Retry-After: 2" in head
    assert "X-Web-Node: web-1" in head
    assert "text/html" in head
    assert "web-1 is up and answered with 503" in body
    assert seen == [1, 0]


def test_a_long_answer_that_is_cut_ends_the_connection():
    """The client sees that bytes are missing: they are neither made up nor asked for again."""
    answer, seen = ask(GET.replace(b"Connection: close\r\n", b""), LONG_CUT, GOOD)
    assert answer.endswith("\r\n\r\n" + 100_000 * "x")
    assert seen == [1, 0]


@pytest.mark.parametrize("sent", [NO_LENGTH, CHUNKED])
def test_an_answer_without_a_length_is_relayed(sent):
    """In chunks to HTTP/1.1, and to HTTP/1.0 until the connection ends; headers of the node's own connection go."""
    answer, _ = ask(GET, sent)
    assert answer.lower().count("transfer-encoding: chunked") == 1
    assert answer.endswith("4\r\nfine\r\n0\r\n\r\n")
    answer, _ = ask(GET.replace(b"HTTP/1.1", b"HTTP/1.0"), sent)
    assert "chunked" not in answer
    assert "Keep-Alive" not in answer
    assert answer.endswith("\r\n\r\nfine")


def test_the_answer_to_head_has_the_length_and_no_body():
    """Also where the front itself answers."""
    head = GET.replace(b"GET", b"HEAD")
    answer, _ = ask(head, GOOD.removesuffix(b"fine"))
    assert "Content-Length: 4\r\n" in answer
    assert answer.endswith("\r\n\r\n")
    answer, _ = ask(head, REFUSES)
    assert answer.startswith("HTTP/1.1 503 ")
    assert answer.endswith("\r\n\r\n")


def test_requests_that_are_sent_together_are_answered_one_by_one():
    """A browser need not wait between them; the front reads no byte of the next one too early."""
    sent = POST.replace(b"Connection: close\r\n", b"") + GET
    answer, seen = ask(sent, GOOD)
    assert answer.count("HTTP/1.1 200 ") == 2
    assert seen == [2]


def test_a_visitor_cannot_speak_for_the_front():
    """Fields that the front writes are taken out of what came in."""
    sent = GET.replace(b"Host", b"X-Farm-Request: 7\r\nX-Farm: web-1=down\r\nX-Forwarded-For: 8.8.8.8\r\nHost")
    _, ((request,),) = asyncio.run(talk(sent, [GOOD]))
    assert request.count(b"X-Farm: ") == 1
    assert b"X-Farm: web-1=up\r\n" in request
    assert request.count(b"X-Farm-Request: ") == 1
    assert b"8.8.8.8" not in request


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 400),
        (b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: farm\r\nno field\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: farm\r\nX: a\nCookie: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: farm\r\nX: a\r\n b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: farm\r\nContent-Length: 1, 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: farm\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: farm\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: farm\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: farm\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"GET / HTTP/1.1\r\nX: %s\r\n\r\n" % (b"x" * 70_000), 431),
    ],
)
def test_a_doubtful_request_reaches_no_node(sent, status):
    """It is answered by the front, and the connection ends."""
    answer, seen = ask(sent, GOOD)
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert seen == [0]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{}", 200),
        ("localhost:{}", 200),
        ("LOCALHOST:{}", 200),
        ("[::1]:{}", 200),
        ("evil.example:{}", 421),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:{}", 421),
        ("localhost.evil.example:{}", 421),
        ("evil.example/127.0.0.1:{}", 421),
        ("127.0.0.1:1", 421),
        ("localhost", 421),
        ("0.0.0.0:{}", 421),
        ("2130706433:{}", 421),
        ("[::1", 421),
        ("[", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/", "/cart", "/farm", "/farm/kill/web-1", "/farm/health", "/nowhere"])
def test_only_names_of_this_machine_are_answered(host, status, path):
    """DNS rebinding: another name that was resolved to 127.0.0.1 is refused on each path, before a node is asked."""
    for method in ("GET", "POST"):
        sent = f"{method} {path} HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        answer, seen = ask(sent, GOOD, host=host)
        is_fine = status == 200
        assert answer.startswith("HTTP/1.1 421 ") != is_fine
        assert is_fine or ("to no other name" in answer and seen == [0])


def test_a_target_with_a_host_of_its_own_is_refused():
    """It would outrank the Host header."""
    answer, seen = ask(b"GET http://evil.example/ HTTP/1.1\r\nHost: farm\r\n\r\n", GOOD)
    assert answer.startswith("HTTP/1.1 400 ")
    assert seen == [0]


def test_a_client_that_leaves_is_no_matter():
    """Half a request is no request."""
    assert ask(b"GET / HT", GOOD) == ("", [0])
