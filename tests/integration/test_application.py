"""``--app``: the command line has the settings of the application, whatever the framework. Real servers and processes.

A farm that is healthy has no finding, and each of twelve faults that are planted in an application is found.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sharedsession import MachineKey
from tests.support.shops import FRAMEWORKS, Shop

SECRETS = [MachineKey.generate(), MachineKey.generate()]
PATIENCE = 30.0


def settings(url: str, framework: str, **changed: Any) -> dict[str, Any]:
    """Settings of a shop."""
    secret = SECRETS if framework == "django" else SECRETS[0]
    return {"secret_key": secret, "backend": url, "timeout": 5, "farm_check": "warn", **changed}


def findings(said: dict[str, Any], *levels: str) -> list[dict[str, str]]:
    return [finding for finding in said["findings"] if finding["level"] in levels]


# -- a healthy farm


@pytest.fixture(scope="module", params=FRAMEWORKS)
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _shared: Any) -> Iterator[Shop]:
    """Two web nodes of a framework, each with a server and a process of its own, over one memcached."""
    memcached = _shared("memcached")
    directory = tmp_path_factory.mktemp(request.param)
    shop = Shop.write(request.param, directory, **settings(memcached.url, request.param))
    with ExitStack() as nodes:
        for _ in range(2):
            nodes.enter_context(shop.serve())
        yield shop


@pytest.mark.parametrize("at_home", [False, True])
def test_a_healthy_farm_has_no_finding(farm: Shop, at_home: bool) -> None:
    """With ``--app``, and as a command of the framework's own: exit code 0, not a fault, not a note."""
    until = time.monotonic() + PATIENCE
    while True:
        code, said = farm.command("doctor", "--json", at_home=at_home)
        agreed = "2 of 2 other web nodes of this app_name agree with this one"
        if agreed in [finding["text"] for finding in said["findings"]] or time.monotonic() > until:
            break
    assert findings(said, "fault", "note") == []
    assert (code, said["faults"]) == (0, 0)


@pytest.mark.parametrize("at_home", [False, True])
def test_the_other_commands_know_the_application_as_well(farm: Shop, at_home: bool) -> None:
    """``farm``, ``ring``, ``list``, ``revoke`` and ``bench`` ask its store, with its secret."""
    code, said = farm.command("farm", "--json", at_home=at_home)
    assert (code, len(said["servers"]), len(said["web_nodes"])) == (0, 1, 2)
    code, said = farm.command("ring", "--json", at_home=at_home)
    assert (code, [node["state"] for node in said["nodes"]]) == (0, ["up"])
    assert farm.command("list", "user:42", at_home=at_home) == (0, ["no session"])
    assert farm.command("revoke", "--all", "user:42", "--json", at_home=at_home) == (1, {"ended": 0})
    code, said = farm.command("revoke", "--json", at_home=at_home)
    assert (code, list(said)) == (2, ["error"])


@pytest.mark.parametrize(("framework", "called"), [("flask", "flask"), ("django", "manage.py")])
def test_a_command_at_home_is_ours_with_the_application_s_settings(framework: str, called: str, tmp_path: Path) -> None:
    """Its help is ours, and it has no flags for settings; those of `manage.py` itself are let pass."""
    shop = Shop.write(framework, tmp_path, **settings(f"sqlite:///{tmp_path}/s.db", framework))
    code, lines = shop.command("list", "--help", at_home=True)
    assert (code, lines[0].startswith(f"usage: {called} sharedsession list")) == (0, True)
    assert not any("--backend" in line or "--app" in line for line in lines)
    code, lines = shop.command("list", "user:42", "--backend", "memory://", at_home=True)
    assert (code, lines[0].partition(":")[0]) == (2, f"{called} sharedsession")
    of_django = ["--settings", "passed.on"] if framework == "django" else []
    assert shop.command("list", "user:42", *of_django, at_home=True) == (0, ["no session"])


def test_django_calls_the_command_from_code(tmp_path: Path) -> None:
    """``call_command`` ends with the exit code of the command."""
    shop = Shop.write("django", tmp_path, **settings(f"sqlite:///{tmp_path}/s.db", "django"))
    (tmp_path / "manage.py").write_text(
        "import shop\nfrom django.core.management import call_command\n"
        "call_command('sharedsession', 'revoke', '--all', 'user:42')\n"
    )
    assert shop.command(at_home=True) == (1, ["no such session"])


# -- twelve faults: how each is planted, in an application of which framework; the topic, and words of its text or fix

FAULTS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "a weak secret": ("wsgi", {"secret_key": "changeme"}, "settings", "secret_key is too short"),
    "another secret": ("flask", {"secret_key": MachineKey.generate()}, "secret_key", "on the secrets (fingerprint "),
    "the secrets in another order": (
        "django",
        {"secret_key": SECRETS[::-1]},
        "secret_key",
        "on the order of the secrets",
    ),
    "a misspelt app_name": (
        "fastapi",
        {"app_name": "shpo"},
        "app_name",
        "on app_name, under the same secret (fingerprint ",
    ),
    "another idle timeout": ("django", {"idle_timeout": 600}, "idle_timeout", "(600 here, 1209600 there)"),
    "a server that is too old": ("flask", {"backend": "old"}, "reachable", "6.2"),
    "another layout of the ring": ("wsgi", {"backend": "ketama"}, "layout", "(ketama here, native there)"),
    "a clock that is wrong": ("fastapi", {"clock_off": 900}, "clock", "15 min"),
    "a store that is down": ("flask", {"backend": "down"}, "reachable", "refused"),
    "a store that evicts": ("django", {"backend": "evicts"}, "memory", "allkeys-lru"),
    "a store of small items": ("fastapi", {"backend": "small"}, "item size", "-I"),
    "a key file open to others": ("wsgi", {"key_file": "farm.key"}, "secret", "chmod 600"),
}


def test_there_are_twelve_of_them_and_three_for_each_framework() -> None:
    """None was forgotten, and none of the frameworks."""
    assert sorted(framework for framework, *_ in FAULTS.values()) == sorted(FRAMEWORKS * 3)


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_is_found(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """On real servers, beside a web node that is as it should be: with its fix, and exit code 1."""
    framework, changed, topic, words = FAULTS[name]
    right, wrong = _urls(changed.get("backend"), request)
    well = Shop.write(framework, tmp_path / "well", **settings(right, framework))
    code, said = well.command("doctor", "--announce", "--json")
    assert (code, said["faults"]) == (0, 0)
    ill = Shop.write(framework, tmp_path / "ill", **_changed(settings(right, framework), changed, wrong, tmp_path))
    code, said = ill.command("doctor", "--json")
    found = findings(said, "fault")
    assert (code, {finding["topic"] for finding in found}) == (1, {topic})
    assert all(finding["fix"] for finding in found)
    assert any(words in finding["text"] + finding["fix"] for finding in found)
    assert not any(secret in str(said) for secret in SECRETS)


def _urls(fault: str | None, request: pytest.FixtureRequest) -> tuple[str, str]:
    """Returns the store of the farm, and the one that is faulty."""
    if fault == "ketama":
        url = request.getfixturevalue("ring").url
        return url, f"{url}&layout=ketama"
    start = request.getfixturevalue("fresh")  # the shared one may still have the web nodes of the healthy farm
    url = start("memcached").url
    match fault:
        case "down":
            return url, "memcached://127.0.0.1:1"
        case "evicts":
            return url, start("redis", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru").url
        case "old":
            return url, start("redis", "--rename-command", "GETEX", "").url  # which is new in Redis 6.2
        case "small":
            return url, start("memcached", "-I", "32k", "-o", "slab_chunk_max=16384").url
    return url, url


def _changed(given: dict[str, Any], changed: dict[str, Any], url: str, directory: Path) -> dict[str, Any]:
    given = {**given, **changed, "backend": url}
    if "key_file" in changed:
        file = directory / "farm.key"
        file.write_text(f"{given.pop('secret_key')}\n")
        file.chmod(0o666)
        given["key_file"] = str(file)
    return given
