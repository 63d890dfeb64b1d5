"""Spans around the waits of a manager, in both colours, over stores that answer and that do not."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from sharedsession.backends import connect
from sharedsession.manager import engines_of
from sharedsession.telemetry.opentelemetry import instrument
from tests.support.farm import Browser, WebNode, destroy, read, write


class Spans:
    """The spans of one provider."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def taken(self):
        """The spans since the last look."""
        spans = self.exporter.get_finished_spans()
        self.exporter.clear()
        return spans

    def outcomes(self) -> list[tuple[str, str]]:
        """Their names and outcomes."""
        return [(span.name.split(".")[1], span.attributes["sharedsession.outcome"]) for span in self.taken()]


@pytest.fixture
def spans() -> Spans:
    """Where instrumented nodes send theirs."""
    return Spans()


def instrumented(node: WebNode, spans: Spans) -> Browser:
    instrument(node.manager, spans.provider)
    return Browser([node])


@pytest.mark.parametrize("url", ["sqlite", "memcached", "redis", "ring"], indirect=True)
def test_each_wait_is_a_span_that_says_how_it_ended(url: str, web_node, spans: Spans) -> None:
    """A visit that creates a session, one that reads, one that changes, and a logout."""
    node = web_node(connect(url), timeout=5.0)
    browser = instrumented(node, spans)
    browser.go(write("user", "alice"))
    assert spans.outcomes() == [("commit", "set")]
    browser.go(read("user"))
    assert spans.outcomes()[0] == ("load", "found")
    browser.go(write("user", "bob"))
    assert spans.outcomes() == [("load", "found"), ("commit", "keep")]
    old = browser.cookie
    browser.go(lambda session: session.regenerate())
    assert spans.outcomes() == [("load", "found"), ("commit", "set")]
    node.request(read("user"), old)
    assert spans.outcomes()[0] == ("load", "superseded")
    browser.go(destroy)
    assert spans.outcomes()[-1] == ("commit", "clear")


@pytest.mark.parametrize("url", ["memcached", "redis"], indirect=True)
def test_a_span_says_what_the_backend_is_and_never_whose_session(url: str, web_node, spans: Spans) -> None:
    """No ID, token, key, value or user is in any of them."""
    browser = instrumented(web_node(connect(url), timeout=5.0), spans)
    browser.go(lambda session: session.update(secret="swordfish") or setattr(session, "principal", "user:42"))
    ids = []
    browser.go(lambda session: ids.extend([session.id, session["secret"]]))
    taken = spans.taken()
    assert {span.attributes["sharedsession.backend"] for span in taken} == {url.partition(":")[0]}
    assert {key for span in taken for key in span.attributes} == {"sharedsession.backend", "sharedsession.outcome"}
    text = "".join(span.to_json() for span in taken)
    for hidden in (*ids, browser.cookie.partition("=")[2], "ss:", "user:42"):
        assert hidden not in text


@pytest.mark.parametrize(
    ("policy", "outcome", "error"), [("error", "error", True), ("anonymous", "unavailable", False)]
)
def test_an_outage_is_told_with_the_type_of_the_error_only(
    policy: str, outcome: str, error: bool, web_node, fresh, spans: Spans
) -> None:
    """As ``on_outage`` has it; no message and no traceback goes along."""
    server = fresh("redis")
    browser = instrumented(web_node(server.url, timeout=1.0, on_outage=policy), spans)
    browser.go(write("user", "alice"))
    spans.taken()
    server.kill()
    browser.go(read("user"))
    span = spans.taken()[0]
    assert (span.name, span.attributes["sharedsession.outcome"]) == ("sharedsession.load", outcome)
    assert span.attributes.get("error.type") == ("BackendUnavailable" if error else None)
    assert span.status.status_code == (StatusCode.ERROR if error else StatusCode.UNSET)
    assert (span.status.description, list(span.events)) == (None, [])


def test_a_logout_that_was_first_is_nobodys_error(web_node, spans: Spans) -> None:
    """What a running request saves too late has ended, and the span is not marked as failed."""
    node = web_node("memory://")
    browser = instrumented(node, spans)
    browser.go(write("user", "alice"))
    spans.taken()

    def work(session) -> None:
        session["x"] = 1
        WebNode("wsgi", engines_of(node.manager).settings.backend).request(destroy, browser.cookie)

    browser.go(work)
    span = spans.taken()[-1]
    assert (span.name, span.attributes["sharedsession.outcome"]) == ("sharedsession.commit", "ended")
    assert span.status.status_code == StatusCode.UNSET


def test_spans_are_children_of_the_request(web_node, spans: Spans, colour: str) -> None:
    """Whatever thread waits: a trace shows the wait inside the request that waited."""
    node = web_node("memory://")
    browser = instrumented(node, spans)
    browser.go(write("user", "alice"))
    spans.taken()
    tracer = spans.provider.get_tracer("test")

    def work(session) -> None:
        with tracer.start_as_current_span("request"):
            session["user"]
            session["x"] = 1
            if colour == "wsgi":
                session.save()

    async def work_on_the_loop(session) -> None:
        with tracer.start_as_current_span("request"):
            session["x"] = 1
            await session.asave()

    browser.go(work if colour == "wsgi" else work_on_the_loop)
    taken = spans.taken()
    (request,) = [span for span in taken if span.name == "request"]
    inner = [span for span in taken if span.parent and span.parent.span_id == request.context.span_id]
    assert "sharedsession.commit" in {span.name for span in inner}


def test_only_the_manager_that_was_named_makes_spans_and_once(web_node, spans: Spans) -> None:
    """Another one of the same farm is as it was; a second call makes no second span."""
    backend = connect("memory://")
    plain, watched = web_node(backend), web_node(backend)
    browser = instrumented(watched, spans)
    instrumented(watched, spans)
    assert engines_of(plain.manager).observer.tracer is None
    plain.request(write("x", 1))
    assert spans.taken() == ()
    browser.go(write("x", 1))
    assert spans.outcomes() == [("commit", "set")]
