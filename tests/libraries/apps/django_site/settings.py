"""Django's settings, as docs/django.md says; backend and secret are in the environment.

``LIBRARY`` is one of the names at the end, ``DATABASE`` an SQLite file, or the directory of a PostgreSQL's socket.
"""

import os
from pathlib import Path

_LIBRARY = os.environ["LIBRARY"]
_DATABASE = Path(os.environ["DATABASE"])
_DJANGO = ("auth", "contenttypes", "messages", "staticfiles")

SECRET_KEY = os.environ["SHAREDSESSION_SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.libraries.apps.django_site.urls"
_POSTGRESQL = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres"}
_SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": _DATABASE, "OPTIONS": {"timeout": 30}}
DATABASES = {"default": _POSTGRESQL | {"HOST": str(_DATABASE)} if _DATABASE.is_dir() else _SQLITE}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/me"
STATIC_URL = "/static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
USE_TZ = True

SESSION_ENGINE = "sharedsession.frameworks.django"
SESSION_COOKIE_NAME = "session"  # as the other applications of these tests
SHAREDSESSION = {"ABSOLUTE_TIMEOUT": 43200}
INSTALLED_APPS = [*(f"django.contrib.{app}" for app in _DJANGO), "sharedsession.frameworks.django"]
MIDDLEWARE = [
    "sharedsession.frameworks.django.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]

if _LIBRARY == "allauth":
    INSTALLED_APPS += ["django.contrib.humanize", "allauth", "allauth.account", "allauth.mfa", "allauth.usersessions"]
    MIDDLEWARE += ["allauth.account.middleware.AccountMiddleware"]
    MIDDLEWARE += ["allauth.usersessions.middleware.UserSessionsMiddleware"]
    AUTHENTICATION_BACKENDS += ["allauth.account.auth_backends.AuthenticationBackend"]
    ACCOUNT_EMAIL_VERIFICATION = "none"
    USERSESSIONS_TRACK_ACTIVITY = True
    MFA_TOTP_TOLERANCE = 2  # half minutes: the machine may be busy
elif _LIBRARY == "axes":
    INSTALLED_APPS += ["axes"]
    MIDDLEWARE += ["axes.middleware.AxesMiddleware"]
    AUTHENTICATION_BACKENDS.insert(0, "axes.backends.AxesStandaloneBackend")
elif _LIBRARY == "hijack":
    INSTALLED_APPS += ["hijack"]
    MIDDLEWARE += ["hijack.middleware.HijackUserMiddleware"]
elif _LIBRARY == "two_factor":
    INSTALLED_APPS += ["django_otp", "django_otp.plugins.otp_static", "django_otp.plugins.otp_totp", "two_factor"]
    MIDDLEWARE += ["django_otp.middleware.OTPMiddleware"]
    LOGIN_URL = "two_factor:login"
elif _LIBRARY == "wagtail":
    _WAGTAIL = ("documents", "images", "search", "admin", "users", "sites", "embeds", "snippets", "contrib.forms")
    INSTALLED_APPS += [*(f"wagtail.{app}" for app in _WAGTAIL), "wagtail", "taggit", "modelcluster"]
    WAGTAIL_SITE_NAME = "Wonderland"
    WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
else:
    raise ValueError(f"there is no library {_LIBRARY!r} here")
