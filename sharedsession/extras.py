"""Optional parts need a package that is not installed with the library. Whoever lacks it is told which extra has it."""

from collections.abc import Iterator
from contextlib import contextmanager


def missing_package(part: str, error: ModuleNotFoundError, extra: str) -> str:
    """Returns what to install.

    Args:
        part: of the library, which needs the package.
        error: of the import.
        extra: of ours that has the package.
    """
    package = (error.name or "").partition(".")[0]
    return f"{part} needs the package {package!r}: pip install 'sharedsession[{extra}]'"


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Names the extra if an import inside finds a package missing.

    Args:
        extra: of ours that has what is imported.

    Raises:
        ModuleNotFoundError: a package is missing; the message tells what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "sharedsession":
            raise
        message = missing_package("this part of sharedsession", error, extra)
        raise ModuleNotFoundError(message, name=error.name, path=error.path) from None
