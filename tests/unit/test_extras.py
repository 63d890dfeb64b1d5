"""Optional parts: whoever imports one without its package is told what to install."""

import subprocess
import sys

import pytest

from sharedsession.extras import needs

IMPORT = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
try:
    exec(sys.argv[2])
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("extra", "package", "statement"),
    [
        ("flask", "flask", "import sharedsession.frameworks.flask"),
        ("flask", "werkzeug", "from sharedsession.frameworks.flask.interface import SharedSession"),
        ("django", "django", "import sharedsession.frameworks.django"),
        ("django", "asgiref", "from sharedsession.frameworks.django import SessionMiddleware"),
        ("starlette", "starlette", "import sharedsession.frameworks.starlette"),
        ("starlette", "starlette", "from sharedsession.frameworks.starlette.arguments import settings_from"),
        ("fastapi", "fastapi", "from sharedsession.frameworks.starlette import CurrentSession"),
        ("fastapi", "fastapi", "from sharedsession.frameworks.starlette import CurrentManager"),
        ("prometheus", "prometheus_client", "import sharedsession.telemetry.prometheus"),
        ("opentelemetry", "opentelemetry", "import sharedsession.telemetry.opentelemetry"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(extra, package, statement):
    """It is still an `ImportError`, for whoever imports it only if it is there."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, package, statement], capture_output=True, text=True, check=True
    )
    assert (
        done.stdout
        == f"this part of sharedsession needs the package '{package}': pip install 'sharedsession[{extra}]'\n"
    )


def test_starlette_alone_needs_no_fastapi():
    """The middleware is of use without it."""
    statement = "import sharedsession.frameworks.starlette as s; print(s.SessionMiddleware.__name__)"
    command = [sys.executable, "-c", IMPORT, "fastapi", statement]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "SessionMiddleware\n"


def test_a_missing_file_of_ours_is_not_blamed_on_an_extra():
    """That would be a broken installation."""
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'sharedsession.nothing'"), needs("flask"):
        import sharedsession.nothing  # noqa: F401


def test_other_errors_of_an_import_stay_what_they_are():
    """A package that is there and broken needs another cure."""
    with pytest.raises(ImportError, match=r"^broken$"), needs("flask"):
        raise ImportError("broken")
