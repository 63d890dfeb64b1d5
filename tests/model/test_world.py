"""The machinery of the model: a web node is a function of its answers, and a trace tells what happened."""

import logging

from tests.model import programs as do
from tests.model import properties as must
from tests.model.case import Bounds, Case, View
from tests.model.cases import CASES
from tests.model.defects import DEFECTS
from tests.model.explorer import Explorer
from tests.model.programs import Stored
from tests.model.words import told
from tests.support.planting import patched


def test_two_searches_of_one_case_are_the_same() -> None:
    name = "a writer and a logout: N = 2, 1 duplicate"
    first, second = (Explorer(CASES[name]()) for _ in range(2))
    assert first.run()[0] == second.run()[0]
    assert first.positions.known == second.positions.known


def test_a_program_that_is_run_over_its_answers_asks_the_same() -> None:
    """`Positions` checks each time; here it must have had to."""
    explorer = Explorer(CASES["writers: N = 2, 1 loss"]())
    logging.disable(logging.CRITICAL)
    assert explorer.run().is_complete
    logging.disable(logging.NOTSET)
    assert explorer.positions.replayed > 100


def test_a_request_that_is_late_is_carried_out_at_any_later_time() -> None:
    """A tombstone on its way ends the session whenever it arrives, though the visitor was told nothing."""
    stored = Stored(2)
    seen: set[bool] = set()

    def note(view: View) -> None:
        seen.add(must.logout_is_final(stored.token)(view._replace(facts=frozenset({"ended"}))) is None)

    case = Case(
        name="late",
        farm=stored.farm,
        actors={"logout": do.logs_out(stored.token)},
        nodes=stored.nodes,
        properties={"note": note},
        bounds=Bounds(losses=1),
    )
    explorer = Explorer(case)
    logging.disable(logging.CRITICAL)
    assert explorer.run().is_complete
    logging.disable(logging.NOTSET)
    assert seen == {True, False}
    assert explorer.late


def test_a_restart_breaks_connections_and_their_tokens() -> None:
    explorer = Explorer(CASES["a writer and a logout: N = 1, replicas 1, 1 restart"]())
    assert explorer.run().is_complete
    broken = [told for position in explorer.positions.known for told in position.replies if told.reply == 1]
    assert broken


def test_a_trace_is_told_in_words() -> None:
    """One line a step; the shortest way comes first, since the search goes breadth first."""
    defect = DEFECTS["no compare-and-swap"]
    with patched(defect.patches):
        explorer = Explorer(defect.case())
        found = explorer.run()
    head, *steps = told(explorer, found).splitlines()
    assert "logout is final" in head
    assert len(steps) == len(found.trace) <= 8
    assert any("set (tombstone) the session" in step for step in steps)
    assert "[ended]" in steps[-1] or any("[ended]" in step for step in steps)
