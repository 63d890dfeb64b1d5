"""NiceGUI's pages and its own store of each user, beside the session."""

from tests.libraries.conftest import TwoProcesses
from tests.libraries.visitor import Visitor
from tests.support.servers import Redis


def test_its_pages_are_on_the_shared_session(two_processes: TwoProcesses, redis: Redis) -> None:
    """Both processes know the visitor, and NiceGUI's own storage, where it is shared, finds its browser again."""
    nodes = two_processes("tests.libraries.apps.nicegui:app", "uvicorn", {"NICEGUI_REDIS_URL": redis.url})
    with Visitor(nodes) as visitor:
        visitor.post(0, "/login", data={"name": "alice"})
        for visit, node in enumerate((0, 1), start=1):
            assert f"alice, visit {visit}" in visitor.get(node, "/gui/").text
