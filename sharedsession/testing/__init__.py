"""Help for tests: visitors that are logged in, a clock to turn, and the contract suite for authors of backends.

Nothing here imports pytest, except `sharedsession.testing.contract`, which is imported by its own name.
"""

from sharedsession.testing.login import LoggedIn, alogged_in, logged_in
from sharedsession.testing.memory import ManualEnvironment, memory_backend

__all__ = ["LoggedIn", "ManualEnvironment", "alogged_in", "logged_in", "memory_backend"]
