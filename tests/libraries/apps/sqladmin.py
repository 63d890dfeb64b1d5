"""FastAPI with sqladmin: the login of its documentation, on the sessions of the application."""

from typing import Any

from fastapi import FastAPI, Request
from sqladmin import Admin
from sqladmin.authentication import AuthenticationBackend
from sqlalchemy import create_engine

from sharedsession.frameworks.starlette import SessionMiddleware


class Login(AuthenticationBackend):
    """The example of sqladmin's documentation, with a name for a token."""

    def __init__(self) -> None:
        self.middlewares = []  # the application's sessions, not a signed cookie of sqladmin's own

    async def login(self, request: Request) -> bool:
        form = await request.form()
        request.session.update({"token": form["username"]})
        return True

    async def logout(self, request: Request) -> bool:
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> bool:
        return bool(request.session.get("token"))


app = FastAPI()
app.add_middleware(SessionMiddleware, regenerate_on=["token"])
Admin(app, create_engine("sqlite://"), authentication_backend=Login())


@app.get("/me")
async def me(request: Request) -> dict[str, Any]:
    return {"name": request.session.get("token"), "cart": request.session.get("cart", [])}


@app.post("/cart")
async def cart(request: Request) -> dict[str, Any]:
    request.session.append("cart", (await request.form())["item"])
    return await me(request)
