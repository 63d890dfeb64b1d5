"""The project for web servers of either colour."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.libraries.apps.django_site.settings")

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

wsgi = get_wsgi_application()
asgi = get_asgi_application()
