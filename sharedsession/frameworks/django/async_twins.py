"""The ``a*`` twins of what only looks at a session: they load it on the event loop, then do as the plain method does.

Once a session is loaded, nothing about it waits. Django has these twins since 5.1; here all versions have them.
"""

from collections.abc import Callable, Coroutine
from typing import Any

_NAMES = (
    "get",
    "pop",
    "setdefault",
    "update",
    "has_key",
    "keys",
    "values",
    "items",
    "increment",
    "append",
    "set_principal",
    "set_test_cookie",
    "test_cookie_worked",
    "delete_test_cookie",
    "get_expiry_age",
    "get_expiry_date",
    "set_expiry",
    "get_expire_at_browser_close",
)


class AsyncTwins:
    """Adds the twins to a session that has ``_aget_session``."""


def _twin(name: str, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def twin(self: Any, *args: Any, **kwargs: Any) -> Any:
        await self._aget_session()
        return getattr(self, method)(*args, **kwargs)

    twin.__name__, twin.__qualname__ = name, f"SessionStore.{name}"
    twin.__doc__ = f"Same as `{method}`, on an event loop."
    return twin


for _name, _method in [("aset", "__setitem__"), *((f"a{name}", name) for name in _NAMES)]:
    setattr(AsyncTwins, _name, _twin(_name, _method))
