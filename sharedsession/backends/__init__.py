"""Backends: stores behind one contract (`base`), made from URLs by `connect`."""

from sharedsession.backends.connect import connect

__all__ = ["connect"]
