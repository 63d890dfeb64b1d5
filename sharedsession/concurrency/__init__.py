"""What must wait, driven by colour: the only room that knows of threads and event loops."""

from sharedsession.concurrency.begun import abandon, are_under_way
from sharedsession.concurrency.blocking import DONE, Done, Readable, readable, run, side_by_side
from sharedsession.concurrency.delayed import Delayed
from sharedsession.concurrency.driver import BlockingDriver, LoopDriver, ThreadDriver
from sharedsession.concurrency.fork import PerProcess
from sharedsession.concurrency.per_loop import PerLoop, background, check_event_loop
from sharedsession.concurrency.timers import repeat_on_loop
from sharedsession.concurrency.types import Driver, Gather, KeyedQueue, Step, Stop, Timer
from sharedsession.concurrency.underway import Underway

__all__ = [
    "DONE",
    "BlockingDriver",
    "Delayed",
    "Done",
    "Driver",
    "Gather",
    "KeyedQueue",
    "LoopDriver",
    "PerLoop",
    "PerProcess",
    "Readable",
    "Step",
    "Stop",
    "ThreadDriver",
    "Timer",
    "Underway",
    "abandon",
    "are_under_way",
    "background",
    "check_event_loop",
    "readable",
    "repeat_on_loop",
    "run",
    "side_by_side",
]
