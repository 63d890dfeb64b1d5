"""The page docs/libraries.md: its code runs, one block after the other, in an environment that has the libraries."""

import warnings

import pytest

from tests.test_docs import ROOT, reader, run

__all__ = ["reader"]  # a fixture


@pytest.mark.usefixtures("reader")
def test_python_code_runs() -> None:
    """Every Python block works as it stands, after those before it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about each other
        run(ROOT / "docs" / "libraries.md")
