"""The Django project of these tests: pages that do to the session what the test says, in both colours.

It is set up once a process, when the first test here is collected; no other test folder configures Django.
"""

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from tests.support.farm import SECRET as SECRET

OURS = "sharedsession.frameworks.django.SessionMiddleware"
THEIRS = "django.contrib.sessions.middleware.SessionMiddleware"
OTHERS = [
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
Page = Callable[[Any], Any]
PAGES: dict[int, Page] = {}
_numbers = itertools.count(1)


def configure() -> None:
    """Sets Django up, with a database of users in a file of its own."""
    directory = Path(tempfile.mkdtemp(prefix="django-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": directory / "users.db"}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=[f"django.contrib.{app}" for app in ("admin", "auth", "contenttypes", "messages", "sessions")],
        LOGGING_CONFIG=None,
        MIDDLEWARE=[OURS, *OTHERS],
        MIGRATION_MODULES={"admin": None, "auth": None, "contenttypes": None},
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
        SECRET_KEY=SECRET,
        SESSION_ENGINE="sharedsession.frameworks.django",
        SHAREDSESSION={"BACKEND": "memory://", "TIMEOUT": 5},
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        USE_TZ=True,
    )
    django.setup()


if not settings.configured:
    configure()


def page(request: Any, number: int) -> Any:
    """Serves a page of a test."""
    return _response(PAGES[number](request))


async def apage(request: Any, number: int) -> Any:
    """Serves an asynchronous page of a test."""
    return _response(await PAGES[number](request))


def _response(result: Any) -> Any:
    from django.http import HttpResponse
    from django.http.response import HttpResponseBase

    return result if isinstance(result, HttpResponseBase) else HttpResponse(repr(result))


def address(kind: str, made: Page) -> str:
    """Gives a page an address."""
    number = next(_numbers)
    PAGES[number] = made
    return f"/{kind}/{number}"


def _urls() -> list[Any]:
    from django.contrib import admin
    from django.urls import path

    return [
        path("sync/<int:number>", page),
        path("async/<int:number>", apage),
        path("static/<int:number>", page),
        path("admin/", admin.site.urls),
    ]


urlpatterns = _urls()
