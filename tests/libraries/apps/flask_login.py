"""Flask with Flask-Login: not a line about session IDs in the login."""

import os

import flask
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user

from sharedsession.frameworks.flask import SharedSession
from tests.libraries.apps import views

app = flask.Flask(__name__)
app.config["SECRET_KEY"] = os.environ["SHAREDSESSION_SECRET_KEY"]
SharedSession(app)
logins = LoginManager(app)
views.add_to(app, "id")


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
