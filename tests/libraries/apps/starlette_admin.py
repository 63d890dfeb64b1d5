"""Starlette with starlette-admin: the login of its documentation, on the sessions of the application."""

import os
from typing import Any

from sqlalchemy import create_engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette_admin.auth import AdminUser, AuthProvider
from starlette_admin.contrib.sqla import Admin

from sharedsession.frameworks.starlette import SessionMiddleware


class Login(AuthProvider):
    """The example of its documentation, without a password."""

    async def login(self, username: str, password: str, remember_me: bool, request: Request) -> None:
        request.session["user_id"] = username

    async def logout(self, request: Request) -> None:
        request.session.clear()

    async def authenticate(self, request: Request) -> AdminUser | None:
        name = request.session.get("user_id")
        return AdminUser(username=name) if name else None


async def me(request: Request) -> JSONResponse:
    return JSONResponse({"name": request.session.get("user_id"), "cart": request.session.get("cart", [])})


async def cart(request: Request) -> JSONResponse:
    session: Any = request.session
    session.append("cart", (await request.form())["item"])
    return await me(request)


app = Starlette(
    routes=[Route("/me", me), Route("/cart", cart, methods=["POST"])],
    middleware=[Middleware(SessionMiddleware, regenerate_on=["user_id"])],
)
Admin(create_engine("sqlite://"), auth_provider=Login(), secret_key=os.environ["SHAREDSESSION_SECRET_KEY"]).mount_to(
    app
)
