"""The two engines of one manager, one for each colour, over one backend. Each is made when it is first needed."""

from functools import cached_property

from sharedsession.backends.adapters import for_blocking, for_event_loop
from sharedsession.concurrency import BlockingDriver, Driver, LoopDriver, ThreadDriver
from sharedsession.engine.engine import Engine
from sharedsession.errors import ConfigurationError
from sharedsession.farm import ThisNode
from sharedsession.observe import Observer
from sharedsession.settings import Settings


class Engines:
    """What a `SessionManager` is the face of.

    Args:
        settings: of the farm.

    Attributes:
        settings: as given.
        observer: counts for both colours.
        this_node: this web node as the farm sees it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.observer = Observer(settings.on_event, settings.environment)
        self.this_node = ThisNode(settings.environment)

    @cached_property
    def blocking(self) -> Engine:
        """The engine for applications that block.

        Raises:
            ConfigurationError: the backend has only asynchronous verbs.
        """
        store = for_blocking(self.settings.backend)
        if store is None:
            with self.settings.names.in_errors():
                raise ConfigurationError(
                    "backend has only asynchronous verbs, and this application blocks (WSGI): "
                    "give a backend with blocking verbs, or a URL"
                )
        driver = BlockingDriver(self.settings.environment)
        return Engine(self.settings, store, driver, self.observer, self.this_node)

    @cached_property
    def on_loop(self) -> Engine:
        """The engine for applications on an event loop."""
        store, in_thread = for_event_loop(self.settings.backend)
        driver: Driver = ThreadDriver(self.settings.environment) if in_thread else LoopDriver()
        return Engine(self.settings, store, driver, self.observer, self.this_node)
