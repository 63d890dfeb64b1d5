"""FastHTML: its own argument for the session middleware."""

import os
from functools import partial

from fasthtml.common import FastHTML, JSONResponse

from sharedsession.frameworks.starlette import SessionMiddleware

app = FastHTML(
    sess_cls=partial(SessionMiddleware, regenerate_on=["auth"]),
    secret_key=os.environ["SHAREDSESSION_SECRET_KEY"],
    session_cookie="session",
)


@app.get("/me")
def me(session) -> JSONResponse:
    return JSONResponse({"name": session.get("auth"), "cart": session.get("cart", [])})


@app.post("/cart")
def cart(session, item: str) -> JSONResponse:
    session.setdefault("cart", []).append(item)
    return me(session)


@app.post("/login")
def login(session, name: str) -> str:
    session["auth"] = name
    return "welcome"


@app.post("/logout")
def logout(session) -> str:
    del session["auth"]
    return "bye"
