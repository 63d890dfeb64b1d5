"""Every case is searched completely at its bounds, every defect dies in one, and every limit is as the docs name it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedsession.backends.ring.nodes import RingNodes
from tests.model.cases import CASES, LIMITS
from tests.model.defects import DEFECTS
from tests.model.explorer import Explorer
from tests.model.words import told
from tests.support.planting import Patch, always, patched

_BOTH_PATHS = ("writers", "adders", "a writer", "readers of writes", "missed logout", "a node is emptied")
_PROMISES = Path(__file__).parents[2] / "docs" / "promises.md"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What the library logs of ten thousand outages is of no use."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_searched_completely(name: str) -> None:
    explorer = Explorer(CASES[name]())
    found = explorer.run()
    assert found.is_complete, told(explorer, found)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(_BOTH_PATHS)])
def test_a_case_holds_off_the_plain_path(name: str) -> None:
    """Where nothing is wrong, only the plain path is searched; but a node may be slow, or have missed something."""
    with patched([Patch(RingNodes, "_are_calm", always(False))]):
        explorer = Explorer(CASES[name]())
        found = explorer.run()
    assert found.is_complete, told(explorer, found)


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_dies(name: str) -> None:
    """The same case holds without it."""
    defect = DEFECTS[name]
    with patched(defect.patches):
        found = Explorer(defect.case()).run()
    assert found.violation
    assert Explorer(defect.case()).run(len(found.trace) and found.states).violation is None


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_as_it_is_named(name: str) -> None:
    """What is not promised does happen, so the docs are right to say so, and in their words."""
    limit = LIMITS[name]
    found = Explorer(limit.case()).run()
    assert found.violation
    assert limit.named in " ".join(_PROMISES.read_text().split())
