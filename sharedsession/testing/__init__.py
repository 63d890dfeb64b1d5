"""Help for tests: a clock to turn, a backend on it, and the contract suite for authors of backends.

Nothing here imports pytest, except `sharedsession.testing.contract`, which is imported by its own name.
"""

from sharedsession.testing.memory import ManualEnvironment, memory_backend

__all__ = ["ManualEnvironment", "memory_backend"]
