"""Flask-AppBuilder with its own pages for login and logout. Both processes have the same users in memory."""

import os

import flask
from flask_appbuilder import AppBuilder
from flask_appbuilder.utils.legacy import get_sqla_class

from sharedsession.frameworks.flask import SharedSession
from tests.libraries.apps import views

app = flask.Flask(__name__)
app.config |= {
    "SECRET_KEY": os.environ["SHAREDSESSION_SECRET_KEY"],
    "SQLALCHEMY_DATABASE_URI": "sqlite://",
    "FAB_ADD_SECURITY_VIEWS": True,
}
SharedSession(app)
db = get_sqla_class()(app)
views.add_to(app, "username")
with app.app_context():
    builder = AppBuilder(app, db.session)
    admin = builder.sm.find_role("Admin")
    builder.sm.add_user("alice", "Alice", "A", "alice@example.com", admin, "correct horse")
