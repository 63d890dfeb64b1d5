"""Runs a plan: one seed, one event loop, one judgement."""

import hashlib
import logging
from dataclasses import dataclass, field

from tests.simulation.farm import Farm
from tests.simulation.judge import Judge
from tests.simulation.loop import SimulatedLoop
from tests.simulation.plan import Plan
from tests.simulation.story import Story
from tests.simulation.visits import Visits


@dataclass
class Result:
    """What came of a run.

    Attributes:
        plan: that was run.
        violations: promises that were broken.
        report: of the violations, for a person.
        story: what happened, in order, if it was to be told.
        seconds: virtual seconds that passed.
        requests: how many were sent.
        refusals: how many of them were answered 503.
    """

    plan: Plan
    violations: list[str]
    report: str = ""
    story: list[str] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    refusals: int = 0

    @property
    def digest(self) -> str:
        """A hash of the whole story: equal of two runs that were equal."""
        return hashlib.sha256("\n".join([*self.story, *self.violations]).encode()).hexdigest()


def run(plan: Plan, *, is_told: bool = False) -> Result:
    """Runs a plan from its beginning to its judgement.

    Args:
        plan: to run.
        is_told: whether the story is wanted.
    """
    loop = SimulatedLoop()
    story, judge = Story(loop.time, is_told=is_told), Judge(plan)
    farm = Farm(plan, loop, story)
    logging.getLogger("sharedsession").disabled = True
    try:
        loop.run(Visits(farm, judge).run())
    except Exception as error:  # the judge tells of it, with the seed
        judge.fault(f"error: {type(error).__name__}: {error}")
    finally:
        logging.getLogger("sharedsession").disabled = False
        farm.network.close()
    for error in loop.errors:
        judge.fault(f"error: nobody handled {error}")
    violations = judge.violations()
    report = judge.report() if violations else ""
    return Result(plan, violations, report, story.lines, loop.time(), judge.requests, judge.refusals)
