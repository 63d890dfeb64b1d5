"""Secrets that belong to a framework, which lets an application change them while it runs."""

from collections.abc import Callable, Sequence

from sharedsession.errors import ConfigurationError
from sharedsession.keys.machine_key import MachineKey


class ReloadingKey:
    """The machine key of the secrets that a function returns. It is derived anew only when they change.

    Args:
        secrets: returns the secrets of now; the first signs.
        app_name: of the farm.
        development: allows weak secrets.
        named: what a setting is called in an error.
    """

    def __init__(
        self,
        secrets: Callable[[], Sequence[str | bytes]],
        *,
        app_name: str,
        development: bool,
        named: Callable[[str], str] = str,
    ) -> None:
        self._secrets = secrets
        self._app_name = app_name
        self._development = development
        self._named = named
        self._derived: tuple[Sequence[str | bytes], MachineKey] | None = None

    def __call__(self) -> MachineKey:
        """Returns the machine key of now.

        Raises:
            ConfigurationError: a secret is missing or weak.
        """
        secrets, derived = self._secrets(), self._derived
        if derived is None or derived[0] != secrets:
            derived = self._derived = (secrets, self._derive(secrets))
        return derived[1]

    def _derive(self, secrets: Sequence[str | bytes]) -> MachineKey:
        try:
            return MachineKey(secrets, app_name=self._app_name, development=self._development)
        except ConfigurationError as error:
            also = " with its fallbacks" if len(secrets) > 1 else ""
            error.rename(lambda name: self._named(name) + (also if name == "secret_key" else ""))
            raise
