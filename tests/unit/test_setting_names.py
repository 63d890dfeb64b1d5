"""Messages call a setting what its user calls it: a keyword, a variable, or a name of the framework."""

import pytest

from sharedsession import ConfigurationError, MachineKey, SessionManager, Settings
from sharedsession.settings import Spelling

SECRET = str(MachineKey.generate())
FRAMEWORK = Spelling(ours="cfg.{}".format, given={"app_name": "name"}, native={"cookie_name": "COOKIE"})


def message(keywords, environ=None, native=None, spelling=None):
    """What is said of wrong settings."""
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({"backend": "memory://", **keywords}, environ or {}, native, *([spelling] if spelling else []))
    return str(caught.value)


def test_names_and_marks_of_an_error_are_those_of_its_user():
    """Until somebody knows better, settings have our names; the marks are never shown, and no other word changes."""
    error = ConfigurationError("timeout of 5 beats `max_size`; run `sharedsession genkey`, a timeout is no backend")
    assert str(error) == "timeout of 5 beats max_size; run `sharedsession genkey`, a timeout is no backend"
    error.rename(str.upper)
    assert str(error) == "TIMEOUT of 5 beats MAX_SIZE; run `sharedsession genkey`, a timeout is no backend"
    error.rename(str.lower)
    assert str(error).startswith("TIMEOUT")


def test_a_keyword_is_named_as_a_keyword():
    """Also the settings that the fix speaks of."""
    assert message({"secret_key": "short"}).startswith("secret_key is too short")
    assert "set development=True" in message({"secret_key": "short"})


def test_a_variable_is_named_as_a_variable_and_so_is_the_fix():
    """Whoever has a deployment file and no code looks for it there."""
    said = message({"app_name": "x"}, {"SHAREDSESSION_SECRET_KEY": "short"})
    assert said.startswith("SHAREDSESSION_SECRET_KEY is too short")
    with pytest.raises(ConfigurationError, match=r"^SHAREDSESSION_SECRET_KEY .*set SHAREDSESSION_DEVELOPMENT=True"):
        Settings.load({}, {"SHAREDSESSION_SECRET_KEY": "short", "SHAREDSESSION_BACKEND": "memory://"})


def test_one_message_may_name_settings_of_several_ways():
    """Each as it was written."""
    environ = {"SHAREDSESSION_SECRET_KEY": SECRET, "SHAREDSESSION_COOKIE_DOMAIN": "shop.example"}
    said = message({"cookie_name": "__Host-x"}, environ)
    assert said.startswith("cookie_name '__Host-x' allows neither SHAREDSESSION_COOKIE_DOMAIN nor a cookie_path other")
    said = message({"secret_key": SECRET, "key_file": "x"}, spelling=FRAMEWORK)
    assert said == "cfg.secret_key and cfg.key_file are both set: keep one of them"


def test_a_framework_has_names_of_its_own():
    """A keyword under another name, a setting of ours, and one of the framework's."""
    native = {"secret_key": SECRET, "cookie_name": ""}
    assert message({"app_name": ""}, native=native, spelling=FRAMEWORK).startswith("name must be a text")
    assert message({}, native=native, spelling=FRAMEWORK).startswith("COOKIE must be a text")
    assert message({"cookie_name": ""}, native=native, spelling=FRAMEWORK).startswith("cfg.cookie_name must be a text")
    assert message({"timeot": 1}, native=native, spelling=FRAMEWORK) == (
        "there is no setting 'cfg.timeot'; did you mean 'cfg.timeout'?"
    )


def test_values_are_never_taken_for_names():
    """A path, a backend's host or a cookie may be called like a setting."""
    said = message({"key_file": "/timeout/backend"}, spelling=FRAMEWORK)
    assert said.startswith("cfg.key_file '/timeout/backend' cannot be read")


def test_a_secret_in_a_file_is_told_with_the_file(tmp_path):
    """By the name of the setting that names the file."""
    file = tmp_path / "farm.key"
    file.write_text("short\n")
    file.chmod(0o600)
    said = message({}, {"SHAREDSESSION_KEY_FILE": str(file)})
    assert said.startswith(f"SHAREDSESSION_KEY_FILE '{file}': its secret is too short")
    assert "short\n" not in said


def test_a_backend_of_the_wrong_colour_is_named_when_it_is_used():
    """Long after the settings were checked."""

    class Asynchronous:
        async def get(self): ...

        add = replace = end = supersede = touch = get

    settings = Settings.load({"secret_key": SECRET, "backend": Asynchronous()}, {}, None, FRAMEWORK)
    with pytest.raises(ConfigurationError, match=r"^cfg\.backend has only asynchronous verbs"):
        SessionManager(settings).list("x")
