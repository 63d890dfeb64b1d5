"""The path of a request as the visitor's address bar shows it, in each form that servers give it. Pure.

It is the whole path, with the prefix under which an application is mounted, and decoded. So a pattern of ``exclude``
means the same paths in WSGI and ASGI, whatever stands between the visitor and the middleware.
"""

from collections.abc import Mapping
from typing import Any


def environ_path(environ: Mapping[str, Any]) -> str:
    """Returns the path of a WSGI request. There it is text that stands for Latin-1 bytes (PEP 3333)."""
    path: str = environ.get("SCRIPT_NAME", "").rstrip("/") + environ.get("PATH_INFO", "")
    try:
        return path.encode("latin-1").decode()
    except UnicodeError:  # no UTF-8; or a test client that has decoded it already
        return path


def scope_path(scope: Mapping[str, Any]) -> str:
    """Returns the path of an ASGI request. It begins with the ``root_path``, but not under every server."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    return path if path == root or path.startswith(f"{root}/") else root + path
