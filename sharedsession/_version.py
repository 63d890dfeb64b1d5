"""The version, where a file may read it without importing the package."""

__version__ = "0.1.0"
