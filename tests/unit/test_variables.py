"""The environment: variables of ours, mistakes, and what an orchestrator puts there without anybody's doing."""

import pytest

from sharedsession import ConfigurationError, MachineKey, Settings

SECRET = str(MachineKey.generate())


def load(environ, **keywords):
    """Settings over what every test needs."""
    return Settings.load({"secret_key": SECRET, "backend": "memory://", **keywords}, environ)


def of_service(name, protocol="TCP"):
    """The variables of a Kubernetes Service with two ports."""
    address, link = "10.3.104.46", f"{protocol.lower()}://10.3.104.46"
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": "6379",
        f"{name}_SERVICE_PORT_HTTP_ADMIN": "80",
        f"{name}_PORT": f"{link}:6379",
        f"{name}_PORT_6379_{protocol}": f"{link}:6379",
        f"{name}_PORT_6379_{protocol}_PROTO": protocol.lower(),
        f"{name}_PORT_6379_{protocol}_PORT": "6379",
        f"{name}_PORT_6379_{protocol}_ADDR": address,
    }


def of_link(name):
    """What ``docker run --link`` adds to it."""
    return {
        f"{name}_NAME": "/web/store",
        f"{name}_ENV_MEMCACHED_VERSION": "1.6",
        f"{name}_ENV_COOKIE_NAME": "sid",
        f"{name}_PORT_6379_TCP_PORT_START": "6379",
        f"{name}_PORT_6379_TCP_PORT_END": "6389",
    }


@pytest.mark.parametrize("service", ["", "_REDIS", "_MEMCACHED", "_CACHE_A", "_APP", "_COOKIE", "_SECRET", "_KEY_FILE"])
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_variables_of_a_service_are_ignored(service, protocol, caplog):
    """Whatever it is called, and without a word in the log: nobody can do anything about them."""
    name = f"SHAREDSESSION{service}"
    environ = of_service(name, protocol) | of_link(f"{name}_1")
    assert load(environ).app_name == "default"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("BACKND", "BACKEND"),
        ("BACKEND_URL", "BACKEND"),
        ("COOKI_NAME", "COOKIE_NAME"),  # ends like a variable of a link, and has no value of one
        ("APPNAME", "APP_NAME"),
        ("SECRET", "SECRET_KEY"),
        ("KEYFILE", "KEY_FILE"),
        ("KEY", "SECRET_KEY"),
        ("SAMESITE", "COOKIE_SAMESITE"),
        ("SESSION_TIMEOUT", "TIMEOUT"),
        ("TRANSPORTS", "TRANSPORT"),
    ],
)
def test_a_variable_that_is_close_to_a_setting_is_an_error(variable, meant):
    """It names the variable and the setting that was probably meant; never a value, which may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        load({f"SHAREDSESSION_{variable}": "hunter2"})
    message = str(caught.value)
    assert message.startswith(f"the environment variable SHAREDSESSION_{variable} is no setting; did you mean ")
    assert f"'SHAREDSESSION_{meant}'" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("variable", ["SECRET_KEY_FILE", "SECRET_FILE", "SECRET_KEYS_FILE"])
def test_a_file_of_secrets_has_a_setting_of_its_own(variable):
    """Images of others take Docker's secrets as ``…_FILE``; the fix is the setting that does the same here."""
    with pytest.raises(ConfigurationError, match=rf"SHAREDSESSION_{variable} is no setting.*SHAREDSESSION_KEY_FILE"):
        load({f"SHAREDSESSION_{variable}": "/run/secrets/key"})


@pytest.mark.parametrize("setting", ["BACKEND", "APP_NAME", "COOKIE_DOMAIN"])
def test_no_other_setting_is_read_from_a_file(setting):
    """It is said, and what to do instead."""
    with pytest.raises(ConfigurationError, match=f"only secrets are read from a file.*SHAREDSESSION_{setting}$"):
        load({f"SHAREDSESSION_{setting}_FILE": "/run/secrets/x"})


def test_any_other_variable_is_one_line_in_the_log(caplog):
    """It stops nobody, and somebody may wonder why it has no effect."""
    others = ("REDIS_URL", "LOG_LEVEL", "VERSION", "POD_NAME", "NODE_ADDRESS")
    load({f"SHAREDSESSION_{name}": "hunter2" for name in others} | {"SHAREDSESSIONS": "x", "PORT": "80"})
    (record,) = caplog.records
    assert record.event == "unknown_variable"
    assert [name for name in others if f"SHAREDSESSION_{name}" not in record.getMessage()] == []
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("value", ["", " ", "\n"])
@pytest.mark.parametrize("setting", ["COOKIE_NAME", "COOKIE_DOMAIN", "APP_NAME", "BACKEND", "KEY_FILE", "EXCLUDE"])
def test_an_empty_variable_is_an_error(setting, value):
    """The template that was to fill it did not: no default stands in for it in silence."""
    with pytest.raises(ConfigurationError, match=f"the environment variable SHAREDSESSION_{setting} is empty"):
        Settings.load({"secret_key": SECRET}, {f"SHAREDSESSION_{setting}": value})


def test_an_empty_variable_that_does_not_count_is_none():
    """A keyword beats the environment, empty or not."""
    assert load({"SHAREDSESSION_APP_NAME": ""}, app_name="shop").app_name == "shop"


@pytest.mark.parametrize("name", ["POD\nNAME", "POD_\udcff", "POD_\u202eNAME", "BACKND\n"])
def test_a_name_that_cannot_be_printed_is_shown_as_python_writes_it(name, caplog):
    """A line end would begin a record of its own, and some bytes could not be written at all."""
    try:
        load({f"SHAREDSESSION_{name}": "x"})
        (shown,) = [record.getMessage() for record in caplog.records]
    except ConfigurationError as error:
        shown = str(error)
    assert shown.isprintable()
    assert ascii(f"SHAREDSESSION_{name}") in shown
