"""What the environment says: variables of ours, mistakes in them, and what others put there without anybody's doing.

Kubernetes, and ``docker run --link``, describe each Service of a namespace in variables that begin with its name. A
Service called "sharedsession-redis" must not keep a web node from starting.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sharedsession.errors import ConfigurationError
from sharedsession.keys import bytes_of
from sharedsession.settings.names import PREFIX, similar, variable

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables, and Docker's legacy links
_INJECTED = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|ADDR|PORT(_START|_END)?))?)?|ENV_.+)"
)
_LINKED_NAME = re.compile(r"/[^/]+/[^/]+")  # the value of …_NAME in Docker's links
_ALIKE = 0.8  # "BACKND" and "BACKEND" are; "POD_NAME" and "APP_NAME" are not


class Variables(NamedTuple):
    """What stands in the environment under our prefix.

    Attributes:
        given: settings by our names.
        unknown: variables that are no settings and like none.
    """

    given: dict[str, Any]
    unknown: list[str]


def read(environ: Mapping[str, str], known: Collection[str], overridden: Collection[str]) -> Variables:
    """Reads the environment.

    Args:
        environ: the environment.
        known: all settings.
        overridden: the settings that were given as keywords, which count more.

    Raises:
        ConfigurationError: a variable is empty, or a misspelt setting.
    """
    given: dict[str, Any] = {}
    unknown = []
    for name, value in environ.items():
        if not name.startswith(PREFIX):
            continue
        setting = name.removeprefix(PREFIX).lower()
        if setting in known:
            if setting not in overridden:
                given[setting] = _value(name, setting, value)
        elif not _is_injected(name.removeprefix(PREFIX), value):
            _refuse_misspelt(name, setting, known)
            unknown.append(_printable(name))
    return Variables(given, unknown)


def _is_injected(name: str, value: str) -> bool:
    is_linked_name = name.rpartition("_")[2] == "NAME" and _LINKED_NAME.fullmatch(value)
    return bool(_INJECTED.fullmatch(name) or is_linked_name)


def _refuse_misspelt(name: str, setting: str, known: Collection[str]) -> None:
    of_file = setting.removesuffix("_file")
    if of_file != setting and of_file in {"secret", "secret_key", "secret_keys"}:
        raise _no_setting(name, f"a file of secrets is given as {variable('key_file')}: rename it")
    if of_file != setting and of_file in known:
        raise _no_setting(name, f"only secrets are read from a file: give the value itself as {variable(of_file)}")
    meant = similar(setting, known, _ALIKE)
    if meant:
        raise _no_setting(name, f"did you mean {variable(meant)!r}? Rename it, or unset it")


def _no_setting(name: str, fix: str) -> ConfigurationError:
    return ConfigurationError(f"the environment variable {_printable(name)} is no setting; {fix}")


def _printable(name: str) -> str:
    """Returns a name as a log may show it: it may have line ends, or bytes that are no UTF-8 (PEP 383)."""
    return name if name.isprintable() else ascii(name)


def _value(name: str, setting: str, value: str) -> Any:
    if not value.strip():
        raise ConfigurationError(f"the environment variable {name} is empty: give it a value, or unset it")
    return list(filter(bytes_of, value.split())) if setting == "secret_key" else value
