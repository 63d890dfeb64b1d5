"""NiceGUI's pages and its own store of each user, beside the session."""

from tests.libraries.conftest import TwoProcesses
from tests.libraries.visitor import Visitor
from tests.support.servers import Redis


def test_its_pages_are_on_the_shared_session(two_processes: TwoProcesses, redis: Redis) -> None:
    """Both processes know the visitor, and NiceGUI's own storage finds its browser again, until a login renews it."""
    nodes = two_processes("tests.libraries.apps.nicegui:app", "uvicorn", {"NICEGUI_REDIS_URL": redis.url})
    with Visitor(nodes) as visitor:
        assert "None, visit 1" in visitor.get(0, "/gui/").text
        assert "None, visit 2" in visitor.get(1, "/gui/").text
        visitor.post(0, "/login", data={"name": "alice"})
        assert "alice, visit 1" in visitor.get(1, "/gui/").text
        assert "alice, visit 2" in visitor.get(0, "/gui/").text
