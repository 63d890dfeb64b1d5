"""Settings: each mistake is found at the start and named with its mend; no secret is ever part of a message."""

import math
import secrets
import tempfile
from datetime import timedelta

import pytest

from sharedsession import ConfigurationError, MachineKey, Settings
from sharedsession.backends.memory import MemoryBackend
from sharedsession.settings.settings import _SETTINGS, Keywords

SECRET = MachineKey.generate()


def load(environ=None, **keywords):
    """Settings from keywords over what every test needs."""
    return Settings.load({"secret_key": SECRET, "backend": "memory://", **keywords}, environ or {})


def test_the_defaults_are_the_published_ones():
    """What the table of settings says."""
    found = load()
    assert (found.app_name, found.timeouts.idle, found.timeouts.absolute) == ("default", 1200, 43200)
    assert (found.timeout, found.breaker_window, found.max_size) == (0.25, 2, 65536)
    assert (found.conflict, found.on_outage) == ("merge", "error")
    assert (found.encrypt, found.autoload, found.cookie_persistent, found.development) == (True, True, False, False)
    assert found.transport.cookie.set("t") == "__Host-session=t; Path=/; HttpOnly; Secure; SameSite=Lax"
    assert found.transport.header_name is None


def test_every_setting_is_typed_and_known():
    """The table, the keywords and the attributes name the same settings."""
    assert Keywords.__annotations__.keys() == _SETTINGS.keys()
    assert len(_SETTINGS) == 32


WRONG = [
    ("app_name", ["", "  ", 5, None, b"x", "\udcff"], "text"),
    ("idle_timeout", [0, -1, "soon", None, True, math.nan, math.inf, timedelta(0), 10**400, []], "seconds"),
    ("absolute_timeout", [0, -1, "soon", False, math.inf, timedelta(days=-1), {}], "seconds"),
    ("idle_timeout", [1e30, timedelta(days=36600)], "a hundred years at most"),
    ("timeout", [0, "x", None, math.inf], "seconds"),
    ("timeout", [86401, timedelta(days=2)], "a day at most"),
    ("breaker_window", [0, "x", None, math.nan], "seconds"),
    ("max_size", [0, -1, 1.5, "big", None, True, math.inf, math.nan, "inf", "nan", 10**400], "whole number"),
    ("compress_above", [0, -1, 1.5, "big", "", True, math.inf, []], "whole number of bytes"),
    ("cookie_name", ["", 5, "a b", "a;b", " ", "x" * 1025], "cookie_name"),
    ("cookie_path", ["", "app", 5, None, "/a;b"], "cookie_path"),
    ("cookie_domain", ["", 5, "a b", "exa mple", True], "cookie_domain"),
    ("cookie_secure", ["maybe", 5, ()], "True or False"),
    ("cookie_samesite", ["loose", "", 5, None], "cookie_samesite"),
    ("cookie_partitioned", ["maybe", 5, None], "True or False"),
    ("cookie_persistent", ["maybe", 1, None], "True or False"),
    ("transport", ["url", "", None, [], "header+cookie"], "'cookie' or 'header' or 'cookie+header'"),
    ("header_name", ["", "X Y", "X:Y", 5, None, "X-T\r\n", "é"], "letters, digits and '-'"),
    ("header_name", ["Host", "content-length", "Set-Cookie"], "header of its own"),
    ("conflict", ["lose", None, {}], "'merge' or 'overwrite' or 'raise'"),
    ("on_outage", ["panic", None, 5], "'error' or 'anonymous'"),
    ("farm_check", ["panic", "", 5, True, []], "'warn' or 'refuse'"),
    ("encrypt", ["maybe", 5, None], "True or False"),
    ("autoload", ["maybe", 5, None], "True or False"),
    ("regenerate_on", [5, [""], [5], b"user", {"user": 1}, True], "list of keys"),
    ("development", ["maybe", 5, None], "True or False"),
    ("exclude", ["static", ["static"], [5], 5, None, b"/x", {"/a": 5}.values()], "/static/*"),
    ("backend", [5, object(), "sqlite", "nosuch://x", "memory://x", MemoryBackend], "backend"),
    ("key_file", [5, "/nonexistent/key", "/", "a\0b", ["a"]], "key_file"),
]


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [pytest.param(name, v, mend, id=f"{name}={v!a:.20}") for name, values, mend in WRONG for v in values],
)
def test_a_wrong_value_is_an_error_that_names_the_setting_and_the_mend(name, value, mend):
    """Whatever somebody writes, it is this one error, at the start."""
    given = {"secret_key": SECRET, "backend": "memory://", name: value}
    if name == "key_file":
        del given["secret_key"]
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(given, {})
    message = str(caught.value)
    assert message.startswith(f"{name} ")
    assert mend in message
    assert SECRET not in message


@pytest.mark.parametrize(
    "secret", ["short", "changeme" * 8, "", 5, [], {"a": SECRET}, [SECRET, "x"], [[]], "\ud800" * 32], ids=range(9)
)
def test_a_wrong_secret_is_named_and_never_shown(secret):
    """The message says what is wrong with it."""
    with pytest.raises(ConfigurationError, match=r"^secret_key ") as caught:
        load(secret_key=secret)
    assert "changeme" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_missing_secret_is_an_error_that_says_how_to_make_one():
    """There is no default secret, on no machine."""
    for keywords in ({}, {"secret_key": None}, {"development": True}):
        with pytest.raises(ConfigurationError, match=r"secret_key is missing.*genkey.*SHAREDSESSION_SECRET_KEY"):
            Settings.load({"backend": "memory://", **keywords}, {})


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("idle_timout", "idle_timeout"), ("secretkey", "secret_key"), ("cookie_same_site", "cookie_samesite")],
)
def test_a_misspelt_setting_is_an_error_with_a_suggestion(misspelt, meant):
    """A setting that is ignored would be worse than none, as a keyword and in the environment."""
    with pytest.raises(ConfigurationError, match=f"'{misspelt}'; did you mean '{meant}'"):
        load(**{misspelt: 1})
    variable = f"SHAREDSESSION_{misspelt.upper()}"
    with pytest.raises(ConfigurationError, match=f"{variable}.*did you mean 'SHAREDSESSION_{meant.upper()}'"):
        load({variable: "1"})


def test_a_setting_that_is_like_none_is_an_error_with_the_list():
    """Whoever guessed sees what there is."""
    with pytest.raises(ConfigurationError, match="'zzz'; there are: secret_key, key_file, backend"):
        load(zzz=1)


@pytest.mark.parametrize(
    "url", ["redis://u:hunter2@h:99999/0", "nosuch://u:hunter2@h", "hunter2", "valkey://:hunter2@h:x"]
)
def test_a_password_in_a_url_is_never_shown(url):
    """Messages end up in logs."""
    if url.startswith(("redis", "valkey")):
        pytest.importorskip("redis")
        pytest.importorskip("hiredis")
    with pytest.raises(ConfigurationError) as caught:
        load(backend=url)
    assert "hunter2" not in str(caught.value)


def test_a_contradiction_is_an_error():
    """A secret and a file of secrets: which one would it be?"""
    with pytest.raises(ConfigurationError, match="secret_key and key_file are both set"):
        load(key_file="/nonexistent")
    with pytest.raises(ConfigurationError, match="cookie_domain"):
        load(cookie_domain="example.com")
    with pytest.raises(ConfigurationError, match=r"cookie_secure=False.*development=True"):
        load(cookie_secure=False, cookie_name="session")


@pytest.mark.parametrize(("given", "seconds"), [(60, 60), (0.5, 0.5), ("90", 90), (timedelta(days=14), 1209600)])
def test_a_duration_is_a_number_of_seconds_or_a_timedelta(given, seconds):
    """Fourteen days are fourteen days."""
    assert load(idle_timeout=given).timeouts.idle == seconds


@pytest.mark.parametrize("none", [None, "none", "None"])
def test_the_absolute_timeout_can_be_switched_off(none):
    """As a keyword and as text in the environment."""
    assert load(absolute_timeout=none).timeouts.absolute is None


@pytest.mark.parametrize(("given", "above"), [(1, 1), ("4096", 4096), (None, None), ("none", None), ("None", None)])
def test_compression_is_a_number_of_bytes_or_off(given, above):
    """As a keyword and as text in the environment; which nodes compress is no matter of the whole farm."""
    assert load(compress_above=given).compress_above == above
    assert "compress_above" not in load(compress_above=given).agreed()


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        (["a b", "c"], ("a b", "c")),
        ("_user_id", ("_user_id",)),
        ("user, admin\n", ("user", "admin")),
        ((), ()),
        ("", ()),
        (None, None),
    ],
)
def test_keys_of_logins_are_a_list_or_text(given, keys):
    """Empty: none; ``None``: what the framework has. One farm may have several frameworks, so it need not agree."""
    assert load(regenerate_on=given).regenerate_on == keys
    assert "regenerate_on" not in load(regenerate_on=given).agreed()


def test_development_allows_weak_secrets_and_plain_http_and_says_so(caplog, tmp_path, monkeypatch):
    """The cookie gets a name that browsers take without TLS, and the log says that this is not for production."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where no process has said so yet
    found = load(secret_key="dev", development=True)
    assert found.transport.cookie.set("t") == "session=t; Path=/; HttpOnly; SameSite=Lax"
    (record,) = caplog.records
    assert record.event == "development"
    assert record.name == "sharedsession"


def test_production_says_nothing(caplog):
    """A start without a mistake is silent."""
    load()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("patterns", "excluded", "served"),
    [
        (["/static/*"], ["/static/a", "/static/a/b.css", "/static/"], ["/", "/static", "/x/static/a"]),
        ("/health, *.ico", ["/health", "/favicon.ico", "/a/b.ico"], ["/health/x", "/healthy", "/icon"]),
        ("/a /b\n", ["/a", "/b"], ["/", "/ab"]),
        (["/médias/*", "/a b/*"], ["/médias/x", "/a b/x"], ["/mÃ©dias/x", "/a%20b/x"]),
        ("/m%C3%A9dias/* /a%20b/*", ["/médias/x", "/a b/x"], ["/m%C3%A9dias/x"]),
        ("/100%/* /%2A/%5Ba%5d", ["/100%/x", "/*/[a]"], ["/x/a", "/a"]),
        ({"/a[bc]"}, ["/ab", "/ac"], ["/ad"]),
    ],
)
def test_paths_can_be_left_out(patterns, excluded, served):
    """Patterns of the shell, as a list or as text, decoded or encoded; they match the whole path."""
    is_excluded = load(exclude=patterns).is_excluded
    assert is_excluded is not None
    assert [path for path in excluded + served if is_excluded(path)] == excluded


def test_where_no_path_is_left_out_none_is_looked_at():
    """Then there is nothing to ask."""
    assert load().is_excluded is None
    assert load(exclude=()).is_excluded is None


def test_a_backend_of_the_user_s_own_is_taken_as_it_is():
    """Any object with the verbs will do."""
    backend = MemoryBackend()
    assert load(backend=backend).backend is backend


def test_settings_show_no_secret_and_cannot_be_changed():
    """Neither the secret nor the backend, whose URL may hold a password, is in the repr."""
    found = load(app_name="shop")
    assert "shop" in repr(found)
    assert SECRET not in repr(found)
    assert "memory" not in repr(found).lower()
    with pytest.raises(AttributeError):
        found.app_name = "x"


def test_nothing_is_opened_by_checking(tmp_path):
    """A web node starts while its store is away: no file is made, no connection opened."""
    load(backend=f"sqlite:///{tmp_path}/sessions.db")
    load(backend="memcached://192.0.2.1:1")
    assert list(tmp_path.iterdir()) == []


def test_the_environment_fills_what_no_keyword_gives():
    """A keyword beats a variable, which beats the default; others' variables are not ours."""
    environ = {
        "SHAREDSESSION_SECRET_KEY": f"{secrets.token_urlsafe(40)}xQ {SECRET}\n",
        "SHAREDSESSION_APP_NAME": "env",
        "SHAREDSESSION_IDLE_TIMEOUT": "60",
        "SHAREDSESSION_ENCRYPT": "off",
        "SHAREDSESSION_BACKEND": "memory://",
        "SHAREDSESSION_EXCLUDE": "/a,/b",
        "PATH": "/bin",
        "SESSION_TYPE": "redis",
    }
    found = Settings.load({"idle_timeout": 30}, environ)
    assert (found.app_name, found.timeouts.idle, found.timeouts.absolute, found.encrypt) == ("env", 30, 43200, False)
    assert found.is_excluded is not None
    assert found.is_excluded("/b")
    assert len(found.machine_key().fingerprints()) == 2
    assert load(environ).machine_key().fingerprints() == MachineKey(SECRET, app_name="env").fingerprints()


@pytest.mark.parametrize(("word", "flag"), [("true", True), ("YES", True), ("1", True), ("Off", False), ("0", False)])
def test_a_flag_in_the_environment_is_a_usual_word(word, flag):
    """Without regard to case."""
    assert load({"SHAREDSESSION_AUTOLOAD": word}).autoload is flag


def test_a_wrong_variable_is_named_like_a_wrong_keyword():
    """By its own name, with its mend."""
    with pytest.raises(ConfigurationError, match=r"^SHAREDSESSION_TIMEOUT must be a positive number of seconds"):
        load({"SHAREDSESSION_TIMEOUT": "fast"})


# -- a framework's own settings


def test_a_frameworks_own_settings_stand_in_for_the_defaults_only():
    """Keyword beats environment beats framework beats default."""
    native = {"secret_key": SECRET, "idle_timeout": 1, "app_name": "native", "cookie_path": "/native"}
    environ = {"SHAREDSESSION_APP_NAME": "environ", "SHAREDSESSION_IDLE_TIMEOUT": "2"}
    found = Settings.load({"backend": "memory://", "idle_timeout": 3, "cookie_name": "c"}, environ, native)
    assert (found.timeouts.idle, found.app_name, found.transport.cookie.path) == (3, "environ", "/native")


def test_a_frameworks_secrets_may_change_and_are_derived_anew_only_then():
    """The function is asked each time; the same secrets give the same machine key."""
    secrets_of_now = [SECRET]
    found = Settings.load({"backend": "memory://"}, {}, {"secret_key": lambda: tuple(secrets_of_now)})
    token = found.machine_key().new_identity(bytes(range(16))).token
    assert found.machine_key() is found.machine_key()
    secrets_of_now.insert(0, MachineKey.generate())
    assert found.machine_key().verify(token.encode())
    secrets_of_now.remove(SECRET)
    assert found.machine_key().verify(token.encode()) is None


def test_a_frameworks_secret_is_not_used_beside_a_key_file(tmp_path):
    """Two sources of secrets are a contradiction only where both are ours."""
    file = tmp_path / "keys"
    file.write_text(f"{SECRET}\n")
    found = Settings.load({"backend": "memory://", "key_file": file}, {}, {"secret_key": list})
    token = MachineKey(SECRET).new_identity(bytes(range(16))).token
    assert found.machine_key().verify(token.encode())


def test_what_the_farm_must_agree_on_is_told_under_the_names_of_settings():
    """Each of them is a setting, none is a secret, and a number has no needless zero."""
    settings = Settings.load({"secret_key": MachineKey.generate(), "backend": "memory://", "idle_timeout": 2592000}, {})
    values = settings.agreed_values()
    assert values.keys() <= _SETTINGS.keys()
    parts = settings.agreed().keys() - {"app_name", "cookie"}
    assert parts <= values.keys()
    assert (values["idle_timeout"], values["transport"], values["cookie_name"]) == (
        "2592000",
        "'cookie'",
        "'__Host-session'",
    )


@pytest.mark.parametrize("name", ["idle_timeout", "max_size", "cookie_name", "conflict"])
def test_a_number_that_python_does_not_write_is_a_wrong_value_as_well(name):
    """It has more than 4300 digits."""
    with pytest.raises(ConfigurationError, match=f"^{name} .* not this int$"):
        load(**{name: 10**5000})
