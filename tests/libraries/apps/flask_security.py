"""Flask with Flask-Security and its own pages for login and logout. Both processes have the same users in memory."""

import os

import flask
from flask_security import Security, SQLAlchemyUserDatastore, hash_password
from flask_security.models import fsqla_v3
from flask_sqlalchemy import SQLAlchemy

from sharedsession.frameworks.flask import SharedSession
from tests.libraries.apps import views

app = flask.Flask(__name__)
app.config |= {
    "SECRET_KEY": os.environ["SHAREDSESSION_SECRET_KEY"],
    "SECURITY_PASSWORD_SALT": os.environ["SHAREDSESSION_SECRET_KEY"],
    "SECURITY_PASSWORD_HASH": "pbkdf2_sha512",
    "SECURITY_POST_LOGIN_VIEW": "/me",
    "SECURITY_POST_LOGOUT_VIEW": "/me",
    "SECURITY_EMAIL_VALIDATOR_ARGS": {"check_deliverability": False},
    "SQLALCHEMY_DATABASE_URI": "sqlite://",
}
SharedSession(app)
db = SQLAlchemy(app)
fsqla_v3.FsModels.set_db_info(db)
views.add_to(app, "username")


class Role(db.Model, fsqla_v3.FsRoleMixin):  # type: ignore[name-defined]
    """As Flask-Security's documentation has it."""


class User(db.Model, fsqla_v3.FsUserMixin):  # type: ignore[name-defined]
    """As Flask-Security's documentation has it."""


security = Security(app, SQLAlchemyUserDatastore(db, User, Role))
with app.app_context():
    db.create_all()
    password = hash_password("correct horse")
    security.datastore.create_user(
        email="alice@example.com", username="alice", password=password, fs_uniquifier="0123456789abcdef"
    )
    db.session.commit()
