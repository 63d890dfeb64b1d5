"""The types of concurrency, each defined once: steps, drivers, queues and timers."""

from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from sharedsession.errors import BackendUnavailable

T = TypeVar("T")

Step = Callable[[], Coroutine[Any, Any, T]]
"""Work that may have to wait; calling it makes the coroutine that a driver runs."""

Stop = Callable[[], Awaitable[None]]
"""Ends something that repeats; awaiting the result waits until it has ended."""


class Gather(Protocol):
    """Runs coroutines side by side. They must not raise."""

    async def __call__(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Returns their results, in order."""
        ...


class KeyedQueue(Protocol):
    """A queue for each key: in one process, one at a time holds a key; the others wait in the order they came."""

    def acquire(self, key: Hashable) -> bool:
        """Acquires a key if it is free. Returns whether it was."""
        ...

    async def wait(self, key: Hashable, timeout: float) -> bool:
        """Waits for a key that was not free, behind those who came before.

        Args:
            key: what is wanted.
            timeout: seconds to wait at most.

        Returns:
            Whether the key was acquired.
        """
        ...

    def release(self, key: Hashable) -> None:
        """Hands the key to the next in the queue."""
        ...

    def waiting(self, key: Hashable) -> int:
        """Returns how many wait for a key."""
        ...


class Timer(Protocol):
    """Runs a step again and again."""

    def ensure(self, seconds: float) -> None:
        """Makes sure that the step runs every so many seconds, or more often, in this process or on this event loop."""
        ...


class Driver(Protocol):
    """Answers every question about one colour of application: how it runs, gathers, queues, repeats and pauses.

    Attributes:
        blocking: whether the application blocks: then a step has run when `run` returns.
    """

    @property
    def blocking(self) -> bool:
        """Whether the application blocks."""
        ...

    def run(self, step: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> Awaitable[T]:
        """Runs a step, which gets the arguments.

        It has run when this returns, where the application blocks; else when the result is awaited.
        """
        ...

    def gather(self, coroutines: Sequence[Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, list[T]]:
        """Same as `Gather`, inside of a step."""
        ...

    def outcomes(self, works: Sequence[Awaitable[T]]) -> "Coroutine[Any, Any, list[T | BackendUnavailable]]":
        """Same as `gather` for what may raise `BackendUnavailable`: that is the result of the one that raises it.

        Args:
            works: single requests; futures that are under way, or coroutines that begin when they are awaited.
        """
        ...

    def queue(self) -> KeyedQueue:
        """Makes a queue."""
        ...

    def timer(self, step: Step[None], *, at_once: bool = False) -> Timer:
        """Makes a timer.

        Args:
            step: a method. A timer does not keep its object alive where a thread runs it.
            at_once: whether the step runs a first time when the timer starts.
        """
        ...

    def repeat(self, seconds: float, step: Step[None]) -> Stop:
        """Runs a step every so many seconds, from now until the result is called and awaited."""
        ...

    def background(self, step: Step[None]) -> None:
        """Runs a step that nothing waits for; it must not raise."""
        ...

    async def pause(self, seconds: float) -> None:
        """Waits inside of a step."""
        ...
