"""Secrets that belong to a framework, which lets an application change them while it runs."""

from collections.abc import Callable, Sequence

from sharedsession.keys.machine_key import MachineKey


class ReloadingKey:
    """The machine key of the secrets that a function returns. It is derived anew only when they change.

    Args:
        secrets: returns the secrets of now; the first signs.
        app_name: of the farm.
        development: allows weak secrets.
    """

    def __init__(self, secrets: Callable[[], Sequence[str | bytes]], *, app_name: str, development: bool) -> None:
        self._secrets = secrets
        self._app_name = app_name
        self._development = development
        self._derived: tuple[Sequence[str | bytes], MachineKey] | None = None

    def __call__(self) -> MachineKey:
        """Returns the machine key of now.

        Raises:
            ConfigurationError: a secret is missing or weak.
        """
        secrets, derived = self._secrets(), self._derived
        if derived is None or derived[0] != secrets:
            key = MachineKey(secrets, app_name=self._app_name, development=self._development)
            derived = self._derived = (secrets, key)
        return derived[1]
