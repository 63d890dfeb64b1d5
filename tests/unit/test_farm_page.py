"""The farm page over HTTP without a server, in both colours: who may look, what is on it, and what never is."""

import asyncio
import base64
import hashlib
import io
import json
import re
from http import HTTPStatus
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from sharedsession import BackendUnavailable, ConfigurationError, MachineKey, SessionManager, farmpage
from sharedsession.backends.memory import MemoryBackend
from sharedsession.concurrency import run
from sharedsession.environment import REAL, Environment
from sharedsession.farm import WebNode
from sharedsession.farmpage import core, page, svg, tables
from sharedsession.farmpage.auth import LOGGED_IN, TICKET_LIFE, PageAuth
from sharedsession.farmpage.exchange import Request, from_environ
from sharedsession.farmpage.facts import facts_of
from sharedsession.farmpage.latency import SPAN, Latency
from sharedsession.farmpage.webnodes import compared
from sharedsession.manager import engines_of
from sharedsession.session import Session, state_of

FARM_SECRET = MachineKey.generate()
PASSWORD = MachineKey.generate()
RING = "memcached://a=127.0.0.1:1,b*2=127.0.0.1:2,c=127.0.0.1:3?replicas=2"


class Store(MemoryBackend):
    """A store that can be down."""

    down = False

    def get(self, key, touch, timeout):
        if self.down:
            raise BackendUnavailable("down")
        return super().get(key, touch, timeout)

    def add(self, key, value, ttl, timeout):
        if self.down:
            raise BackendUnavailable("down")
        return super().add(key, value, ttl, timeout)


class Visitor:
    """Asks an application of either colour, and keeps its cookies as a browser does."""

    def __init__(self, app, blocking):
        self.app = app
        self.ask = self._by_wsgi if blocking else self._by_asgi
        self.cookies = {}

    def get(self, query="", **headers):
        return self.request("GET", query, **headers)

    def post(self, form, **headers):
        return self.request("POST", "", urlencode(form).encode(), **headers)

    def request(self, method, query="", body=b"", **headers):
        sent = {"host": "ops.example", "cookie": "; ".join(f"{n}={v}" for n, v in self.cookies.items()), **headers}
        sent = {name.replace("_", "-"): value for name, value in sent.items() if value}
        status, headers, content = self.ask(method, query, body, sent)
        if cookie := headers.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return status, headers, content.decode()

    def log_in(self, password=PASSWORD):
        return self.post({"do": "login", "password": password, "token": token_in(self.get()[2])})

    def _by_wsgi(self, method, query, body, sent):
        heads = []
        environ = {"REQUEST_METHOD": method, "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body))}
        setup_testing_defaults(environ)
        environ["wsgi.input"].write(body)
        environ["wsgi.input"].seek(0)
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sent.items()}
        if method == "POST":
            environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
        answer = validator(self.app)(environ, lambda status, headers, exc_info=None: heads.append((status, headers)))
        content = b"".join(answer)
        answer.close()
        ((status, headers),) = heads
        return int(status[:3]), {name.lower(): value for name, value in headers}, content

    def _by_asgi(self, method, query, body, sent):
        messages = []

        async def receive():
            return {"type": "http.request", "body": body}

        async def send(message):
            messages.append(message)

        headers = [(name.encode(), value.encode()) for name, value in sent.items()]
        scope = {"type": "http", "method": method, "path": "/farm", "query_string": query.encode(), "headers": headers}
        asyncio.run(self.app(scope, receive, send))
        start, end = messages
        return start["status"], {n.decode(): v.decode() for n, v in start["headers"]}, end["body"]


@pytest.fixture(params=["wsgi", "asgi"])
def colour(request):
    return request.param


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def visit(colour, store):
    """Mounts a page, and gives somebody who was never there."""

    def visiting(backend=None, development=False, **options):
        blocking = colour == "wsgi"
        manager = SessionManager.from_settings(
            secret_key=FARM_SECRET, backend=backend or store, timeout=0.2, development=development
        )
        return Visitor(getattr(farmpage, colour)(manager, **options), blocking)

    return visiting


@pytest.fixture
def inside(visit):
    """Somebody who has logged in."""
    visitor = visit(secret=PASSWORD)
    assert visitor.log_in()[0] == 303
    return visitor


def token_in(text):
    return re.search(r'name="token" value="(\w+)"', text)[1]


def page_auth(secret, app_name="default", environment=REAL):
    """The tickets of a page of this application."""
    return PageAuth(secret, app_name=app_name, secure=True, environment=environment)


def everybody(_request):
    return True


# -- who may look


@pytest.mark.parametrize("options", [{}, {"secret": PASSWORD, "allowed": everybody}])
def test_somebody_must_say_who_may_look(visit, options):
    """One way, not none and not two."""
    with pytest.raises(ConfigurationError, match="who may look"):
        visit(**options)


@pytest.mark.parametrize(("secret", "problem"), [("abc", "too short"), ("change-me-" * 8, "easy to guess")])
def test_a_poor_secret_is_refused(visit, secret, problem):
    """As the farm's own would be, and it is not quoted."""
    with pytest.raises(ConfigurationError, match=problem) as fault:
        visit(secret=secret)
    assert secret not in str(fault.value)


def test_one_manager_serves_both_colours():
    """Whatever the application's is."""
    manager = SessionManager.from_settings(secret_key=FARM_SECRET, backend=Store())
    for blocking, mount in ((True, farmpage.wsgi), (False, farmpage.asgi)):
        assert Visitor(mount(manager, allowed=everybody), blocking).get()[0] == 200


def test_without_the_password_there_is_only_a_form(visit):
    """403, for the page and for its facts; nothing of the farm is in it."""
    for query in ("", "json"):
        status, headers, text = visit(secret=PASSWORD).get(query)
        assert status == 403
        assert 'type="password"' in text
        assert "Fingerprint" not in text
        assert headers["set-cookie"].endswith("; Max-Age=3600; Path=/; HttpOnly; Secure; SameSite=Strict")


def test_the_password_opens_the_page(inside):
    """The cookie then carries a signature, and never the secret."""
    status, _, text = inside.get()
    assert status == 200
    assert "Fingerprint" in text
    assert inside.cookies.keys() == {"__Host-farmpage", "__Host-farmpage-anonymous"}
    assert PASSWORD not in str(inside.cookies)


def test_a_wrong_password_opens_nothing(visit):
    """And is not repeated on the page."""
    visitor = visit(secret=PASSWORD)
    status, _, text = visitor.log_in("not the password")
    assert (status, "That is not the password" in text, "not the password<" in text) == (403, True, False)
    assert visitor.get()[0] == 403


def test_a_logout_takes_the_cookie_back(inside):
    """And is a form like any other: it needs its token."""
    assert inside.post({"do": "logout"})[0] == 403
    assert inside.get()[0] == 200
    status, headers, _ = inside.post({"do": "logout", "token": token_in(inside.get()[2])})
    assert (status, "Max-Age=0" in headers["set-cookie"]) == (303, True)
    assert inside.get()[0] == 403


def test_a_copy_of_the_cookie_is_worth_nothing_after_the_logout(visit, inside):
    """Neither here nor on another web node of the farm; another visitor stays logged in."""
    copy, elsewhere, colleague = visit(secret=PASSWORD), visit(secret=PASSWORD), visit(secret=PASSWORD)
    colleague.log_in()
    copy.app = inside.app
    copy.cookies, elsewhere.cookies = dict(inside.cookies), dict(inside.cookies)
    assert (copy.get()[0], elsewhere.get()[0]) == (200, 200)
    inside.post({"do": "logout", "token": token_in(inside.get()[2])})
    assert (copy.get()[0], elsewhere.get()[0], elsewhere.get("json")[0]) == (403, 403, 403)
    assert elsewhere.post({"do": "logout", "token": "x"})[0] == 403
    assert colleague.get()[0] == 200
    assert inside.log_in()[0] == 303
    assert inside.get()[0] == 200


def test_a_logout_that_the_store_does_not_confirm_is_not_called_one(inside, store):
    """503, and the cookie stays, for another try; the page itself is shown while the store is down."""
    token = token_in(inside.get()[2])
    store.down = True
    assert inside.get()[0] == 200
    status, headers, text = inside.post({"do": "logout", "token": token})
    assert (status, headers.get("set-cookie"), "Not logged out" in text) == (503, None, True)
    store.down = False
    assert inside.get()[0] == 200
    assert inside.post({"do": "logout", "token": token})[0] == 303
    assert inside.get()[0] == 403


def test_what_the_store_keeps_of_a_logout_is_no_ticket(inside, store):
    """A hash, which lasts as long as the ticket would have."""
    ticket = inside.cookies["__Host-farmpage"]
    inside.post({"do": "logout", "token": token_in(inside.get()[2])})
    (key,) = [key for key in store._entries if key.startswith("ss:page:")]
    assert not any(part in key for part in ticket.split(".")[1:])


@pytest.mark.parametrize(
    "name", ["\x85__Host-farmpage", "$Version=1; \xa0__Host-farmpage", "__host-farmpage", '"__Host-farmpage']
)
def test_a_cookie_has_exactly_its_name(visit, inside, name):
    """Whatever other parsers take for it."""
    other = visit(secret=PASSWORD)
    other.cookies = {name: inside.cookies["__Host-farmpage"]}
    assert other.get()[0] == 403


def test_an_anonymous_ticket_does_not_open(visit, inside):
    """Nor does a ticket whose level was changed by hand, one of another secret, or nonsense."""
    anonymous = visit(secret=PASSWORD)
    anonymous.get()
    name, text, genuine = (
        "__Host-farmpage",
        anonymous.cookies["__Host-farmpage-anonymous"],
        inside.cookies["__Host-farmpage"],
    )
    path = "/farm" if anonymous.ask == anonymous._by_asgi else ""
    foreign = page_auth(MachineKey.generate()).new_ticket(LOGGED_IN, path).text
    elsewhere = page_auth(PASSWORD).new_ticket(LOGGED_IN, "/other").text
    of_another_application = page_auth(PASSWORD, app_name="blog").new_ticket(LOGGED_IN, path).text
    for forged in (text, f"l{text[1:]}", genuine[:-1], foreign, elsewhere, of_another_application, "l.9.x", "", "ü"):
        anonymous.cookies[name] = forged
        assert anonymous.get()[0] == 403
    anonymous.cookies[name] = page_auth(PASSWORD).new_ticket(LOGGED_IN, path).text
    assert anonymous.get()[0] == 200


def test_a_link_from_another_site_logs_nobody_out(inside):
    """Such a request comes without cookies; what its answer sets does not replace the ticket."""
    held, inside.cookies = inside.cookies, {}
    assert inside.get()[0] == 403
    inside.cookies = {**held, **inside.cookies}
    assert inside.get()[0] == 200


def test_a_ticket_expires():
    """An hour later the password is asked for again."""
    now = [1000.0]
    auth = page_auth(PASSWORD, environment=Environment(clock=lambda: now[0]))
    ticket = auth.new_ticket(LOGGED_IN, "/farm")
    request = Request("GET", "", {"cookie": f"a=b; {auth.cookies[LOGGED_IN].name}={ticket.text}"}, {}, "/farm")
    assert auth.ticket_of(request) == ticket
    now[0] += TICKET_LIFE
    assert auth.ticket_of(request) is None
    assert not any(secret in repr([auth, ticket]) for secret in (PASSWORD, ticket.text))


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "https://[ops.example"},
    ],
)
def test_another_site_cannot_send_the_form(visit, headers):
    """Not even with the right token and the right password."""
    visitor = visit(secret=PASSWORD)
    form = {"do": "login", "password": PASSWORD, "token": token_in(visitor.get()[2])}
    assert visitor.post(form, **headers)[0] == 403
    assert visitor.get()[0] == 403
    form["token"] = token_in(visitor.get()[2])
    assert visitor.post(form, sec_fetch_site="same-origin", origin="https://ops.example")[0] == 303


def test_a_form_needs_the_token_of_its_own_visitor(visit):
    """A token that was made for another one, or none, is refused."""
    visitor, other = visit(secret=PASSWORD), visit(secret=PASSWORD)
    visitor.get()
    for token in (token_in(other.get()[2]), ""):
        assert visitor.post({"do": "login", "password": PASSWORD, "token": token})[0] == 403
    assert other.log_in()[0] == 303


def test_a_form_that_is_too_large_is_not_read(visit):
    """It counts as an empty one."""
    visitor = visit(secret=PASSWORD)
    form = {"do": "login", "password": PASSWORD, "token": token_in(visitor.get()[2]), "x": 5000 * "x"}
    assert visitor.post(form)[0] == 403


def test_the_application_may_say_who_may_look(visit):
    """Nothing but ``True`` is a yes; and the page then has no form at all."""
    seen = []
    assert visit(allowed=lambda request: seen.append(request) or True).get()[0] == 200
    assert seen[0].keys() & {"wsgi.version", "query_string"}
    for said in (False, None, "yes", 1):
        status, _, text = visit(allowed=lambda _request, said=said: said).get()
        assert (status, "Fingerprint" in text) == (403, False)
    visitor = visit(allowed=everybody)
    assert "<form" not in visitor.get()[2]
    assert visitor.post({"do": "login"})[0] == 405


def test_a_permission_that_must_be_awaited():
    """Is awaited on an event loop, and refused where nobody could: a coroutine is no yes."""

    async def nobody(_scope):
        return False

    blocking = SessionManager.from_settings(secret_key=FARM_SECRET, backend="memory://")
    with pytest.raises(ConfigurationError, match="await"):
        farmpage.wsgi(blocking, allowed=nobody)
    manager = SessionManager.from_settings(secret_key=FARM_SECRET, backend="memory://")
    assert Visitor(farmpage.asgi(manager, allowed=nobody), blocking=False).get()[0] == 403


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS"])
def test_nothing_else_is_answered(visit, method):
    """405, with a password and with a permission."""
    for options in ({"secret": PASSWORD}, {"allowed": everybody}):
        assert visit(**options).request(method)[0] == 405


def test_what_is_not_http_is_left_alone():
    """A server's lifespan, or a websocket."""
    manager = SessionManager.from_settings(secret_key=FARM_SECRET, backend="memory://")
    asyncio.run(farmpage.asgi(manager, secret=PASSWORD)({"type": "lifespan"}, None, None))


# -- what is on it


def test_every_answer_is_guarded(visit, inside):
    """Nothing is loaded or run but what stands in the page, by its hash; nobody frames or keeps it."""
    for status, headers, text in (inside.get(), inside.get("json"), visit(secret=PASSWORD).get(), inside.post({})):
        policy = dict(entry.split(" ", 1) for entry in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert "unsafe" not in str(policy)
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert headers["content-length"] == str(len(text.encode()))
        for kind, found in (
            ("style", re.findall(r"<style>(.*?)</style>", text, re.DOTALL)),
            ("script", re.findall(r"<script>(.*?)</script>", text, re.DOTALL)),
        ):
            for inline in found:
                digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
                assert policy[f"{kind}-src"] == f"'sha256-{digest}'", status


def test_nothing_comes_from_another_host(inside):
    """No address but those of the page itself, no style and no handler in an attribute."""
    text = re.sub(r'href="data:[^"]*"', "", inside.get()[2])
    assert "//" not in re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "http" not in page.SCRIPT + page.STYLE
    assert not re.search(r'\s(style|on\w+)="', text)


def test_it_is_readable_in_the_dark_on_a_phone_and_without_a_script(inside):
    """Both colours, a viewport, and a link that asks again."""
    text = inside.get()[2]
    assert "prefers-color-scheme: dark" in text
    assert "color-scheme: light dark" in text
    assert "width=device-width" in text
    assert '<a class="button plain" href="?">Refresh</a>' in text
    assert 'lang="en"' in text


def test_nothing_secret_is_on_it(visit, store):
    """Not the farm's secret, not the page's, and nothing of a session."""
    visitor = visit(secret=PASSWORD)
    engine = engines_of(visitor.app._page.manager).blocking
    session = engine.open(Session, [])
    engine.load(session)
    session["diary"] = "dear diary"
    session.principal = "ada@example.org"
    engine.finish(session)
    token = state_of(session).outcome.token
    visitor.log_in()
    shown = visitor.get()[2] + visitor.get("json")[2]
    keys = list(store._entries)
    assert keys
    for secret in (FARM_SECRET, PASSWORD, "diary", "ada@", session.id, token, token.split(".")[0], *keys):
        assert secret not in shown


def test_the_facts_are_there_for_programs(visit):
    """The same as on the page, which is made of them."""
    visitor = visit(allowed=everybody)
    status, headers, text = visitor.get("json")
    told = json.loads(text)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert told["facts"]["answers"] is True
    assert told["facts"]["totals"]["Sessions created"] == 0
    assert told["facts"]["fingerprint"].keys() >= {"secret_key", "backend"}
    page_text = visitor.get()[2]
    assert all(f'id="{name}"' in page_text for name in told["parts"])


def test_a_head_request_has_no_body(visit):
    """And the length of the page."""
    visitor = visit(allowed=everybody)
    status, headers, text = visitor.request("HEAD")
    assert (status, text) == (200, "")
    assert int(headers["content-length"]) > 1000


def test_a_store_that_does_not_answer_is_said(visit, store):
    """In words, and in the plot; the page itself works."""
    store.down = True
    status, _, text = visit(allowed=everybody).get()
    assert status == 200
    assert "The store does not answer" in text
    assert 'class="silent"' in text


def test_the_page_shows_the_ring(visit):
    """Each node with its share of the keys and its state, in the picture and in words."""
    visitor = visit(RING, allowed=everybody)
    told = json.loads(visitor.get("json")[2])  # nobody listens there
    nodes = told["facts"]["nodes"]
    assert [(node["name"], node["state"]) for node in nodes] == [("a", "down"), ("b", "down"), ("c", "down")]
    assert sum(node["share"] for node in nodes) == pytest.approx(1)
    assert 0.4 < nodes[1]["share"] < 0.6
    assert told["parts"]["ring"].count('class="arc') == 3
    assert f"b: {nodes[1]['share']:.1%} of the keys, down" in told["parts"]["ring"]
    assert "0 of 3" in told["parts"]["ring"]
    assert "down: a, b, c" in told["state"]


# -- the parts


def test_what_a_node_is_called_is_text():
    """Mark-up in a name is shown, not obeyed."""
    name = '<script>"&'
    node = {"name": name, "address": name, "state": "up", "share": 1.0}
    facts = facts_of(
        {"backend": {"nodes": [node], "kind": name}, "counters": {name: 1}, "fingerprint": {name: name}}, [], []
    )
    for part in page.parts_of(facts):
        assert name not in part.html


def test_of_health_only_what_is_known_gets_onto_the_page():
    """A backend that says more than it should does not say it here."""
    backend = {"kind": "own", "password": "hush", "nodes": [{"name": "n", "state": "up", "dsn": "hush"}]}
    facts = facts_of({"backend": backend, "counters": {}, "fingerprint": {}, "secret": "hush"}, [], [])
    assert "hush" not in json.dumps(facts)


def test_the_store_is_asked_once_a_second_and_old_samples_go():
    """However many look."""
    now = [10.0]
    latency = Latency(lambda: now[0])
    assert latency.begin() == 10.0
    assert latency.begin() is None
    now[0] = 10.25
    latency.end(10.0, answered=True)
    now[0] = 11.0
    latency.end(latency.begin(), answered=False)
    assert latency.samples() == [(1.0, 0.25), (0.0, None)]
    now[0] = 10.5 + SPAN
    assert [sample.took for sample in latency.samples()] == [None]
    latency.end(latency.begin(), answered=True)
    assert [sample.took for sample in latency.samples()] == [None, 0.0]


@pytest.mark.parametrize(("most", "top"), [(0, 0.1), (0.3, 0.5), (1, 1), (1.1, 2), (7, 10), (51, 100)])
def test_the_plot_ends_at_a_round_number(most, top):
    """1, 2 or 5 with zeros."""
    assert svg._nice(most) == pytest.approx(top)


def test_the_plot_in_words():
    """For those who do not see it."""
    assert svg.summary([]) == "Nothing measured yet"
    samples = [{"ago": 2, "ms": 1.25}, {"ago": 1, "ms": None}, {"ago": 0, "ms": 30.0}]
    assert svg.summary(samples) == "Median 30 ms, slowest 30 ms; no answer to 1 of 3 questions"
    assert svg.latency(samples).count('class="silent"') == 1
    assert svg.summary(samples[1:2]) == "The store did not answer; no answer to 1 of 1 questions"


def test_the_answers_of_a_plain_farm(visit):
    """In development the cookie works without TLS."""
    visitor = visit(secret=PASSWORD, development=True)
    _, headers, _ = visitor.get()
    assert headers["set-cookie"].startswith("farmpage-anonymous=a.")
    assert "Secure" not in headers["set-cookie"]
    assert core.refused(Request("GET", "", {}, {})).status == HTTPStatus.FORBIDDEN


# -- the web nodes


def web_node(name, since=0.0, **differing):
    """A web node as it announced itself a minute ago."""
    facts = {"version": "1.0", "app": "shop", "secrets": ("s1",), "parts": {"idle_timeout": "p1"}, **differing}
    return WebNode(id=name, name=name, at=4940.0, since=since, **facts)


def test_who_disagrees_is_said_with_the_fix():
    """Each is compared with the most of its application; another application is no fault."""
    others = [web_node("web2:2"), web_node("web3:3", version="1.1"), web_node("blog:9", app="blog", secrets=("s9",))]
    odd = web_node("web4:4", parts={"idle_timeout": "p2"}, secrets=("s1",), since=3600.0)
    found = {node["name"]: node for node in compared([web_node("web1:1"), *others, odd], 5000.0)}
    assert [node["name"] for node in compared([odd, *others], 5000.0)] == ["blog:9", "web2:2", "web3:3", "web4:4"]
    for name in ("web1:1", "web2:2", "blog:9"):
        assert (found[name]["faults"], found[name]["notes"]) == ([], [])
    (fault,) = found["web4:4"]["faults"]
    assert fault["what"].startswith("idle_timeout")
    assert "SHAREDSESSION_IDLE_TIMEOUT" in fault["fix"]
    (note,) = found["web3:3"]["notes"]
    assert "version" in note["what"]
    assert (found["web4:4"]["up_for"], found["web4:4"]["announced_ago"]) == (1400.0, 60.0)


def test_a_web_node_that_disagrees_is_on_the_page(visit, store):
    """In the list, with what and the fix, and in the line at the top; each has announced itself in the store."""

    def announce(**options):
        manager = SessionManager.from_settings(secret_key=FARM_SECRET, backend=store, farm_check="warn", **options)
        run(engines_of(manager).blocking.monitor.announce())

    for _ in range(2):
        announce()
    visitor = visit(allowed=everybody)
    assert visitor.get()[2].count('<b class="up">agrees</b>') == 2
    announce(idle_timeout=600)
    other = visit(allowed=everybody)
    text = other.get()[2]
    assert "disagrees on idle_timeout (600, others 1200)" in text
    assert "give every web node the same SHAREDSESSION_IDLE_TIMEOUT" in text
    assert '<span class="warn">The store answers; disagrees with its farm: ' in text
    assert "disagrees" not in visitor.get()[2]  # it asked just now


@pytest.mark.parametrize(("down", "words"), [(False, "Set farm_check=&quot;warn&quot;"), (True, "does not answer")])
def test_no_web_nodes_are_said_to_be_none_or_not_known(visit, store, down, words):
    """A store that is away is no farm without web nodes."""
    store.down = down
    part = json.loads(visit(allowed=everybody).get("json")[2])["parts"]["web-nodes"]
    assert words in part
    assert "<table" not in part


def test_applications_that_share_a_store_are_told_apart():
    """By the digest of their name, only where there are several."""
    facts = compared([web_node("a:1"), web_node("b:2", app="blog")], 5000.0)
    assert tables.web_nodes(facts).count("<small>application ") == 2
    assert "application" not in tables.web_nodes(compared([web_node("a:1")], 5000.0))


def test_what_a_web_node_says_of_itself_is_text():
    """Anyone who can write to the store can announce one."""
    mark_up = '<b>"&'
    shown = tables.web_nodes(compared([web_node(mark_up, version=mark_up), web_node("x", app=mark_up)], 5000.0))
    assert mark_up not in shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.9, "59 s"), (61, "1 min"), (7200, "2 h"), (99**3, "11 d")]
)
def test_a_span_is_told_in_its_largest_unit(seconds, shown):
    """Nobody counts seconds of days."""
    assert tables.span(seconds) == shown


# -- one store, or a ring


@pytest.mark.parametrize("address", ["10.200.100.200:11211", "memcached-0.memcached.default.svc.cluster.local:11211"])
def test_an_address_is_never_cut_off(address):
    """Neither in the table nor beside the ring, where the drawing has a number for it."""
    node = {"name": address, "address": address, "state": "up", "share": 1 / 3}
    nodes = [{**node, "name": name} for name in (address, "b", "c")]
    health = {"backend": {"nodes": nodes, "kind": "ring", "replicas": 2}, "counters": {}, "fingerprint": {}}
    parts = {part.name: part.html for part in page.parts_of(facts_of(health, [0.3, 0.3, 0.4], []))}
    assert address in parts["nodes"]
    assert f"1 {address}</b>" in parts["ring"]
    assert re.findall(r'<text class="label up"[^>]*>(\d)<', parts["ring"]) == ["1", "2", "3"]


@pytest.mark.parametrize("url", ["memory://", "sqlite:///s.db", "memcached://10.0.0.1:11211", "redis://10.0.0.1:6379"])
def test_a_single_store_has_no_ring_and_no_tombstones(url, tmp_path, monkeypatch):
    """Nor a table of one row, shares of keys, copies or a layout."""
    monkeypatch.chdir(tmp_path)
    manager = SessionManager.from_settings(secret_key=FARM_SECRET, backend=url)
    parts = page.parts_of(facts_of(manager.health(), [], []))
    assert [part.name for part in parts[:2]] == ["store", "latency"]
    text = " ".join(part.html for part in parts)
    assert not re.search(r"[Rr]ing\b|ombstone|of the keys|[Cc]opies|layout|replicas", text)
    if "10.0.0.1" in url:
        assert f"<dt>Address</dt><dd>{url.partition('//')[2]}</dd>" in text


def test_the_axes_have_units():
    """Milliseconds and minutes."""
    drawn = svg.latency([{"ago": 1, "ms": 7.0}])
    assert re.findall(r">([\d.]+ ms)<", drawn) == ["10 ms", "5 ms", "0 ms"]
    assert ">5 minutes ago<" in drawn
    assert ">now<" in drawn


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "\u0664", "4097", "x", ""])
def test_a_length_that_no_form_has(length):
    """Then there is no form, and nothing is read."""
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length, "wsgi.input": io.BytesIO(b"a=1")}
    assert from_environ(environ).form == {}
