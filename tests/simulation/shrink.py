"""Makes a failing plan small: fewer faults, visitors and steps, as long as it breaks the same promise.

Greedy, as delta debugging (Zeller, Hildebrandt 2002): whatever can be left out is left out, larger pieces first.
"""

from collections.abc import Iterator

from tests.simulation.plan import Plan
from tests.simulation.run import run


def shrunk(plan: Plan) -> Plan:
    """Returns the smallest plan found that breaks a promise that the given one breaks."""
    kinds = _kinds(plan)
    smaller: Plan | None = plan
    while smaller is not None:
        plan = smaller
        smaller = next((fewer for fewer in _fewer(plan) if kinds & _kinds(fewer)), None)
    return plan


def _kinds(plan: Plan) -> set[str]:
    return {violation.partition(":")[0] for violation in run(plan).violations}


def _fewer(plan: Plan) -> Iterator[Plan]:
    for at in range(len(plan.faults)):
        yield plan.without_fault(at)
    if len(plan.visitors) > 1:
        for at in range(len(plan.visitors)):
            yield plan.without_visitor(at)
    for size in (8, 4, 2, 1):
        for at, visitor in enumerate(plan.visitors):
            for begin in range(0, len(visitor.steps) - size + 1, size):
                yield plan.without_steps(at, begin, begin + size)
