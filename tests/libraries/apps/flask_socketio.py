"""Flask-SocketIO beside Flask-Login: its events work on the session of the pages (``manage_session=False``)."""

from typing import Any

import flask
from flask_login import login_user
from flask_socketio import SocketIO

from tests.libraries.apps.flask_login import User, app

sockets = SocketIO(app, manage_session=False, async_mode="threading")


@sockets.on("cart")
def put(item: str) -> list[Any]:
    flask.session.setdefault("cart", []).append(item)
    return list(flask.session["cart"])


@sockets.on("me")
def me() -> Any:
    return flask.session.get("_user_id")


@sockets.on("login")
def log_in(name: str) -> None:
    login_user(User(name))
