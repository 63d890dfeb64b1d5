"""Flask with Flask-Login: the page docs/flask.md, and not a line about sessions in the login."""

import os
from typing import Any

import flask
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user, logout_user

from sharedsession.frameworks.flask import SharedSession

app = flask.Flask(__name__)
app.config["SECRET_KEY"] = os.environ["SHAREDSESSION_SECRET_KEY"]
SharedSession(app)
logins = LoginManager(app)


class User(UserMixin):
    """A user by name alone."""

    def __init__(self, name: str) -> None:
        self.id = name


logins.user_loader(User)


@app.post("/login")
def login() -> str:
    login_user(User(flask.request.form["name"]))
    return "welcome"


@app.post("/logout")
@login_required
def logout() -> str:
    logout_user()
    return "bye"


@app.get("/me")
def me() -> dict[str, Any]:
    name = current_user.id if current_user.is_authenticated else None
    return {"name": name, "cart": flask.session.get("cart", [])}


@app.post("/cart")
def cart() -> dict[str, Any]:
    flask.session.setdefault("cart", []).append(flask.request.form["item"])
    return me()
