"""The pages of the library that is installed, and a page about the visitor and the visitor's session."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import views
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from sharedsession.frameworks.django import current_manager

_LIBRARY = next(app for app in ("allauth", "axes", "hijack", "two_factor", "wagtail") if app in settings.INSTALLED_APPS)


def me(request: HttpRequest) -> HttpResponse:
    """Tells who is there, what is in the cart, and how many sessions the visitor has by our list."""
    user: Any = request.user
    listed = current_manager().list(str(user.pk)) if user.is_authenticated else []
    told = {"name": user.get_username() or None, "cart": request.session.get("cart"), "sessions": len(listed)}
    token = f'<input name="csrfmiddlewaretoken" value="{get_token(request)}">' if request.GET.get("form") else ""
    return HttpResponse(token) if token else JsonResponse(told | {"verified": _is_verified(user)})


def _is_verified(user: Any) -> bool:
    return hasattr(user, "is_verified") and user.is_verified()


@csrf_exempt
def cart(request: HttpRequest) -> HttpResponse:
    """Puts something into the cart, without telling Django that a nested value changed."""
    request.session.setdefault("cart", []).append(request.POST["item"])
    return HttpResponse()


def rows(request: HttpRequest) -> HttpResponse:
    """Tells what the library has written into its tables about sessions."""
    if _LIBRARY == "axes":
        log = import_module("axes.models").AccessLog.objects
        return JsonResponse({"open": log.filter(logout_time=None).count(), "all": log.count()})
    sessions = import_module("allauth.usersessions.models").UserSession.objects
    keys = list(sessions.values_list("session_key", flat=True))
    return JsonResponse({"keys": keys, "mine": request.session.session_key})


def _of_library() -> list[Any]:
    if _LIBRARY == "allauth":
        return [path("accounts/", include("allauth.urls"))]
    if _LIBRARY == "two_factor":
        return [path("", include(import_module("two_factor.urls").urlpatterns)), *_OF_DJANGO]
    if _LIBRARY == "wagtail":
        return [path("admin/", include("wagtail.admin.urls"))]
    return [*_OF_DJANGO, *([path("hijack/", include("hijack.urls"))] if _LIBRARY == "hijack" else [])]


_OF_DJANGO = [path("login", views.LoginView.as_view()), path("logout", views.LogoutView.as_view())]
urlpatterns = [path("me", me), path("cart", cart), path("rows", rows), *_of_library()]
