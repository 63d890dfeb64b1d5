"""Flask with Authlib: what it puts into the session at the start of a login is looked up at its end, anywhere."""

import os
from typing import Any

import flask
from authlib.integrations.flask_client import OAuth

from sharedsession.frameworks.flask import SharedSession

app = flask.Flask(__name__)
app.config["SECRET_KEY"] = os.environ["SHAREDSESSION_SECRET_KEY"]
SharedSession(app, regenerate_on=["user"])
there = os.environ["OAUTH_SERVER"]
oauth = OAuth(app)
oauth.register(
    "there",
    client_id="us",
    client_secret="known to both",
    authorize_url=f"{there}/authorize",
    access_token_url=f"{there}/token",
    api_base_url=f"{there}/",
)


@app.get("/login")
def login() -> Any:
    return oauth.there.authorize_redirect(flask.request.args["callback"])


@app.get("/callback")
def callback() -> Any:
    oauth.there.authorize_access_token()
    flask.session["user"] = oauth.there.get("user").json()["name"]
    return flask.redirect("/me")


@app.post("/logout")
def logout() -> str:
    del flask.session["user"]
    return "bye"


@app.get("/me")
def me() -> dict[str, Any]:
    return {"name": flask.session.get("user"), "cart": flask.session.get("cart", [])}


@app.post("/cart")
def cart() -> dict[str, Any]:
    flask.session.setdefault("cart", []).append(flask.request.form["item"])
    return me()
