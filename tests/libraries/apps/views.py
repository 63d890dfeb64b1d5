"""The pages that every application here has beside its library's own: who is logged in, and a cart in the session."""

from typing import Any

import flask
from flask_login import current_user


def add_to(app: flask.Flask, name: str) -> None:
    """Adds the pages to a Flask application.

    Args:
        app: the application, with Flask-Login in it.
        name: the attribute of its users that holds their name.
    """

    @app.get("/me")
    def me() -> dict[str, Any]:
        who = getattr(current_user, name) if current_user.is_authenticated else None
        return {"name": who, "cart": flask.session.get("cart", [])}

    @app.post("/cart")
    def cart() -> dict[str, Any]:
        flask.session.setdefault("cart", []).append(flask.request.form["item"])
        return me()
