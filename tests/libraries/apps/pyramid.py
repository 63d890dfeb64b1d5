"""Pyramid on plain WSGI: its `request.session` is ours, and its own helper keeps the login there."""

from typing import Any

from pyramid.authentication import SessionAuthenticationHelper
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.security import forget, remember

from sharedsession.wsgi import SessionMiddleware


class Security:
    """A security policy over the session, as Pyramid's documentation has it."""

    helper = SessionAuthenticationHelper()

    def identity(self, request: Request) -> Any:
        return self.helper.authenticated_userid(request)

    authenticated_userid = identity

    def permits(self, request: Request, context: Any, permission: str) -> bool:
        return self.identity(request) is not None

    def remember(self, request: Request, userid: str, **_: Any) -> Any:
        return self.helper.remember(request, userid)

    def forget(self, request: Request, **_: Any) -> Any:
        return self.helper.forget(request)


def me(request: Request) -> dict[str, Any]:
    return {"name": request.authenticated_userid, "cart": request.session.get("cart", [])}


def cart(request: Request) -> dict[str, Any]:
    request.session.append("cart", request.POST["item"])
    return me(request)


def login(request: Request) -> str:
    remember(request, request.POST["name"])
    return "welcome"


def logout(request: Request) -> str:
    forget(request)
    return "bye"


with Configurator() as config:
    config.set_session_factory(lambda request: request.environ["sharedsession.session"])
    config.set_security_policy(Security())
    for view in (me, cart, login, logout):
        config.add_route(view.__name__, f"/{view.__name__}")
        config.add_view(view, route_name=view.__name__, renderer="json")
    app = SessionMiddleware(config.make_wsgi_app(), regenerate_on=["auth.userid"])
