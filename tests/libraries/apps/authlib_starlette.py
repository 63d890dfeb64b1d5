"""FastAPI with Authlib: what it puts into the session at the start of a login is looked up at its end, anywhere."""

import os
from typing import Any

from authlib.integrations.starlette_client import OAuth
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse

from sharedsession.frameworks.starlette import SessionMiddleware

app = FastAPI()
app.add_middleware(SessionMiddleware, regenerate_on=["user"])
there = os.environ["OAUTH_SERVER"]
oauth = OAuth()
oauth.register(
    "there",
    client_id="us",
    client_secret="known to both",
    authorize_url=f"{there}/authorize",
    access_token_url=f"{there}/token",
    api_base_url=f"{there}/",
)


@app.get("/login")
async def login(request: Request, callback: str) -> Any:
    return await oauth.there.authorize_redirect(request, callback)


@app.get("/callback")
async def callback(request: Request) -> Any:
    token = await oauth.there.authorize_access_token(request)
    answer = await oauth.there.get("user", token=token)
    request.session["user"] = answer.json()["name"]
    return RedirectResponse("/me")


@app.post("/logout")
async def logout(request: Request) -> str:
    del request.session["user"]
    return "bye"


@app.get("/me")
async def me(request: Request) -> dict[str, Any]:
    return {"name": request.session.get("user"), "cart": request.session.get("cart", [])}


@app.post("/cart")
async def cart(request: Request) -> dict[str, Any]:
    request.session.append("cart", (await request.form())["item"])
    return await me(request)
