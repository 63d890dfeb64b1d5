"""How a setting is called by the person who wrote it: by its keyword, its environment variable, a framework's name.

Code that finds a mistake uses our name; `Names` translates, for the message. A setting that nobody has given is called
as the framework's users would write it.
"""

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sharedsession.errors import ConfigurationError

PREFIX = "SHAREDSESSION_"
"""What the names of settings begin with in the environment and in Flask's configuration."""


def variable(name: str) -> str:
    """Returns the name of a setting in the environment, which is also its key in Flask's configuration."""
    return f"{PREFIX}{name.upper()}"


@dataclass(frozen=True)
class Spelling:
    """How the users of a framework write settings.

    Attributes:
        ours: returns how they write a setting of ours.
        given: by our name, how a setting was written that was given in yet another way.
        native: by our name, the framework's own settings.
        defaults: our names of those that stand at the framework's default: nobody wrote them.
    """

    ours: Callable[[str], str] = str
    given: Mapping[str, str] = field(default_factory=dict)
    native: Mapping[str, str] = field(default_factory=dict)
    defaults: Collection[str] = ()

    def __call__(self, name: str) -> str:
        """Returns how a setting was written that came as a keyword."""
        return self.given.get(name) or self.ours(name)

    def of_framework(self, name: str) -> str:
        """Returns the framework's own name of a setting, if it has one; else ours."""
        return self.native.get(name) or self.ours(name)


KEYWORDS = Spelling()
"""Where there is no framework: every setting is written as a keyword."""


class Names:
    """Translates the names of settings for messages.

    Args:
        known: all settings.
        spelling: how the users of a framework write them.
        keywords: the settings that were given as keywords.
        variables: the settings that the environment has.
    """

    def __init__(
        self,
        known: Collection[str],
        spelling: Spelling = KEYWORDS,
        keywords: Collection[str] = (),
        variables: Collection[str] = (),
    ) -> None:
        self._known = known
        self._spelling = spelling
        self._keywords = keywords
        self._variables = variables
        only_variables = spelling is KEYWORDS and variables and not keywords
        self._of_others = variable if only_variables else spelling

    def __call__(self, name: str) -> str:
        """Returns how a setting is called; a word that is no setting stays as it is."""
        if name not in self._known:
            return name
        if name in self._keywords:
            return self._spelling(name)
        if name in self._variables:
            return variable(name)
        return self._spelling.native.get(name) or self._of_others(name)

    def is_written(self, name: str) -> bool:
        """Returns whether somebody wrote a setting, anywhere."""
        is_native = name in self._spelling.native and name not in self._spelling.defaults
        return is_native or name in self._keywords or name in self._variables

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Calls the settings what their user calls them in a `ConfigurationError` that is raised inside."""
        try:
            yield
        except ConfigurationError as error:
            error.rename(self)
            raise

    def unknown(self, name: str) -> str:
        """Returns what is wrong with a keyword that is no setting."""
        written = self._spelling(name)
        meant = similar(name, self._known)
        if meant is None:
            return f"there is no setting {written!r}; there are: {', '.join(self._known)}"
        return f"there is no setting {written!r}; did you mean {meant if written == name else self._spelling(meant)!r}?"


def similar(name: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Returns the setting that was probably meant: one that looks alike, or has the same words and more, or fewer.

    Args:
        name: that is no setting.
        known: all settings.
        cutoff: how much it must look alike, from 0 to 1.
    """
    words = set(name.split("_"))
    alike = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
    related = [each for each in known if words <= set(each.split("_")) or words >= set(each.split("_"))]
    return next(iter([*alike, *related]), None)
