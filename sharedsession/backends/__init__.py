"""Backends: stores behind one contract (`base`), made from URLs by `connect`."""

from sharedsession.backends.connect import connect
from sharedsession.backends.wire.urls import without_passwords

__all__ = ["connect", "without_passwords"]
