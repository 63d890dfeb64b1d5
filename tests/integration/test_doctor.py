"""``sharedsession doctor`` on real servers: each planted misconfiguration is named, with its fix and exit code."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedsession import MachineKey, SessionManager, Settings
from sharedsession.backends import connect
from sharedsession.cli.__main__ import main
from sharedsession.cli.checks import examine
from sharedsession.cli.findings import Finding
from sharedsession.concurrency import run
from sharedsession.environment import Environment
from sharedsession.errors import BackendUnavailable
from sharedsession.farm.registry import KEY
from sharedsession.manager import engines_of
from tests.integration.test_register import PLANTED, PLANTED_RINGS, QUARTER, SECRETS
from tests.support.processes import HOST
from tests.support.ring import Ring

SHARED = ("sqlite", "redis", "valkey", "memcached", "ring")
PARTS = {
    "the secrets": "secret_key",
    "the order of the secrets": "secret_key",
    "the time": "clock",
    "the cookie's settings": "cookie",
    "the list of nodes in the ring": "backend",
    "the layout of the ring": "layout",
    "the replicas of the ring": "replicas",
}
PASSWORD = "a-password-of-the-store-7Qm"


@pytest.fixture
def farm() -> Iterator[Callable[[str], None]]:
    """Two web nodes that agree announce themselves on a store."""
    managers: list[SessionManager] = []

    def announce(url: str, **keywords: Any) -> None:
        for _ in range(2):
            settings = Settings.load({"secret_key": SECRETS, "backend": url, "timeout": 5, **keywords}, {})
            managers.append(SessionManager(settings))
            run(engines_of(managers[-1]).blocking.monitor.announce())

    yield announce
    for manager in managers:
        engines_of(manager).settings.backend.close()


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command on a web node with these settings in its environment. Returns exit code and findings."""

    def look(*flags: str, **settings: Any) -> tuple[int, list[Finding]]:
        for name, value in {"secret_key": SECRETS, "timeout": 5, **settings}.items():
            text = " ".join(value) if isinstance(value, list) else str(value)
            monkeypatch.setenv(f"SHAREDSESSION_{name.upper()}", text)
        code = main(["doctor", "--json", *flags])
        out, err = capsys.readouterr()
        assert err == ""
        said = json.loads(out)
        found = [Finding(**finding) for finding in said["findings"]]
        assert said["faults"] == sum(finding.level == "fault" for finding in found)
        assert code == (1 if said["faults"] else 0)
        assert not any(secret in out for secret in (*SECRETS, PASSWORD))
        return code, found

    return look


def of_level(level: str, findings: list[Finding]) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings if finding.level == level}


def faults(findings: list[Finding]) -> dict[str, Finding]:
    found = of_level("fault", findings)
    assert all(finding.fix for finding in found.values()), "each fault has its fix"
    return found


# -- the web nodes


@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("name", [name for name in PLANTED if not name.startswith("clock")])
def test_each_misconfiguration_of_a_web_node_is_named(url, farm, doctor, name):
    """As a fault of the part that differs, and of no other."""
    settings, what = PLANTED[name]
    farm(url)
    code, found = doctor(**{"backend": url, **settings})
    assert code == 1
    (fault,) = faults(found).values()
    assert fault.topic == PARTS.get(what, what)
    assert f" on {what}" in fault.text


@pytest.mark.parametrize("url", SHARED, indirect=True)
@pytest.mark.parametrize("off", [QUARTER, -QUARTER])
def test_a_clock_that_is_wrong_is_found_by_the_store_and_the_other_web_nodes(url, farm, off):
    """One that runs away from the others by a quarter of an hour, either way."""
    farm(url)
    keywords = {"secret_key": SECRETS, "backend": connect(url), "timeout": 5}  # the store's clock is right
    found = examine(keywords, {}, environment=Environment(clock=lambda: time.time() + off))
    texts = [finding.text for finding in found if finding.level == "fault"]
    assert {finding.topic for finding in found if finding.level == "fault"} == {"clock"}
    assert any("on the time" in text for text in texts)
    where = "ahead of" if off > 0 else "behind"
    assert any(f"{where} the clock of" in text for text in texts) is not url.startswith("sqlite")


@pytest.mark.parametrize("url", ["redis", "memcached"], indirect=True)
def test_a_clock_of_another_web_node_that_is_wrong_is_found(url, farm):
    """By what it announces; this one's agrees with the store's."""
    slow = Environment(clock=lambda: time.time() - QUARTER)
    settings = Settings.load({"secret_key": SECRETS, "backend": url, "timeout": 5}, {}, environment=slow)
    run(engines_of(SessionManager(settings)).blocking.monitor.announce())
    settings.backend.close()
    found = examine({"secret_key": SECRETS, "backend": url, "timeout": 5}, {})
    assert [(finding.level, finding.text[:14]) for finding in found if finding.topic == "clock"] == [
        ("ok", "this node's cl"),
        ("fault", "this web node "),
    ]


@pytest.mark.parametrize("name", PLANTED_RINGS)
def test_each_difference_of_the_rings_is_named(ring: Ring, farm, doctor, name):
    """Whatever the two lists look like, as long as they have a server in common."""
    url_of, what = PLANTED_RINGS[name]
    farm(ring.url)
    code, found = doctor(backend=url_of(ring))
    assert code == 1
    (fault,) = faults(found).values()
    assert fault.topic == PARTS[what]


@pytest.mark.parametrize("url", SHARED, indirect=True)
def test_a_web_node_that_agrees_has_no_fault(url, farm, doctor):
    """Exit code 0, and it says with how many it agrees."""
    farm(url)
    code, found = doctor(backend=url)
    assert (code, faults(found)) == (0, {})
    assert of_level("ok", found)["web nodes"].text.startswith("2 of 2 other web nodes")


def test_another_application_in_the_same_store_is_a_note(memcached, farm, doctor):
    """With a secret of its own, or beside others of ours."""
    farm(memcached.url, app_name="blog")
    code, found = doctor(backend=memcached.url, secret_key=MachineKey.generate())
    assert (code, "app_name" in of_level("note", found)) == (0, True)
    farm(memcached.url)
    code, found = doctor(backend=memcached.url, secret_key=SECRETS)
    assert (code, "app_name" in of_level("note", found)) == (0, True)


def test_doctor_only_looks(memcached, doctor):
    """Unless it is told to announce this web node."""
    code, found = doctor(backend=memcached.url)
    assert (code, "web nodes" in of_level("note", found)) == (0, True)
    assert memcached.dump() == {}
    doctor("--announce", backend=memcached.url)
    assert list(memcached.dump()) == [KEY]


# -- the settings


def test_flags_take_the_place_of_the_environment(memcached, farm, doctor, tmp_path):
    """``--backend``, ``--key-file`` and ``--app-name``."""
    farm(memcached.url)
    (tmp_path / "farm.key").write_text("\n".join(SECRETS))
    flags = ("--backend", memcached.url, "--key-file", str(tmp_path / "farm.key"), "--app-name", "default")
    code, _ = doctor(*flags, backend="memcached://127.0.0.1:1", secret_key="weak", app_name="blog")
    assert code == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"secret_key": "changeme"}, "SHAREDSESSION_SECRET_KEY is too short"),
        ({"secret_key": ""}, "SHAREDSESSION_SECRET_KEY is empty"),
    ],
)
def test_a_wrong_secret_is_a_fault_and_the_store_is_looked_at_all_the_same(memcached, doctor, settings, said):
    """Whoever deploys sees all that is wrong at once."""
    code, found = doctor(backend=memcached.url, **settings)
    assert code == 1
    assert said in faults(found)["settings"].text
    assert "memory" in of_level("ok", found)


def test_a_wrong_setting_is_a_fault(doctor):
    """With the message of the start, which names the fix."""
    code, found = doctor(idle_timeout="soon", backend="memory://")
    assert (code, [finding.topic for finding in found]) == (1, ["settings"])
    assert "SHAREDSESSION_IDLE_TIMEOUT must be" in found[0].text


def test_development_is_a_note(memcached, doctor):
    """Weak secrets are let pass then, which is nothing for a farm."""
    code, found = doctor(backend=memcached.url, secret_key="dev", development="true")
    assert (code, of_level("note", found)["settings"].fix) == (0, "remove it on machines that serve visitors")


class OnLoopsOnly:
    """A backend whose verbs are coroutines."""

    max_value = 1 << 20

    async def get(self, *arguments: Any) -> None: ...

    add = replace = end = supersede = touch = close = get

    def health(self) -> dict[str, Any]:
        return {}


def test_a_backend_for_event_loops_only_is_said_to_be():
    """The command line blocks; nothing is awaited in vain."""
    found = examine({"secret_key": SECRETS, "backend": OnLoopsOnly()}, {})
    (fault,) = faults(found).values()
    assert "only asynchronous verbs" in fault.text


def test_memory_is_shared_by_nobody(doctor):
    """A farm on ``memory://`` is none."""
    code, found = doctor(backend="memory://")
    assert (code, list(faults(found))) == (1, ["shared"])


# -- the servers


def test_memcached_that_never_evicts(fresh, doctor):
    """``-M`` loses sessions when it is full."""
    code, found = doctor(backend=fresh("memcached", "-M").url)
    assert (code, list(faults(found))) == (1, ["memory"])
    assert faults(found)["memory"].fix == "start memcached without -M"


def test_memcached_without_cas(fresh, doctor):
    """``-C`` cannot compare and swap."""
    code, found = doctor(backend=fresh("memcached", "-C").url)
    assert (code, list(faults(found))) == (1, ["reachable"])
    assert "start memcached without -C" in faults(found)["reachable"].text


def test_memcached_with_small_items(fresh, doctor):
    """``max_size`` is larger than what ``-I`` lets in."""
    code, found = doctor(backend=fresh("memcached", "-I", "32k", "-o", "slab_chunk_max=16384").url)
    assert (code, list(faults(found))) == (1, ["item size"])
    assert doctor(backend=fresh("memcached", "-I", "32k", "-o", "slab_chunk_max=16384").url, max_size=16384)[0] == 0


def test_redis_that_evicts_whom_it_likes(fresh, doctor):
    """``allkeys-lru`` drops sessions of visitors who are there."""
    server = fresh("redis", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
    code, found = doctor(backend=server.url)
    assert (code, list(faults(found))) == (1, ["memory"])
    assert "noeviction" in faults(found)["memory"].fix


def test_redis_that_is_full(fresh, doctor):
    """``noeviction`` refuses changes, and says so before the visitors do."""
    server = fresh("redis", "--maxmemory", "4mb", "--maxmemory-policy", "noeviction")
    filled = connect(server.url)
    with pytest.raises(BackendUnavailable, match="OOM"):
        all(filled.add(f"ss:{number:043d}", b"x" * 100_000, 600, 5.0) for number in range(100))
    filled.close()
    code, found = doctor(backend=server.url)
    assert (code, list(faults(found))) == (1, ["memory"])
    assert "503" in faults(found)["memory"].text


@pytest.mark.parametrize("kind", ["memcached", "redis"])
def test_a_server_that_is_down(fresh, doctor, kind):
    """With the reason, and exit code 1."""
    server = fresh(kind)
    server.kill()
    code, found = doctor(backend=server.url)
    assert (code, list(faults(found))) == (1, ["reachable"])
    assert "refused" in faults(found)["reachable"].text


def test_a_node_of_a_ring_that_is_down_is_named(ring: Ring, farm, doctor):
    """The others answer for the register."""
    farm(ring.url)
    ring.servers[1].kill()
    code, found = doctor(backend=ring.url)
    assert (code, list(faults(found))) == (1, ["reachable"])
    assert faults(found)["reachable"].text.startswith(
        f"session store node 'b' ({HOST}:{ring.servers[1].port}) does not answer"
    )


def test_a_redis_with_a_password_is_asked_with_it(fresh, doctor):
    """It is never shown; without it the doctor says what is missing."""
    server = fresh("redis", "--requirepass", PASSWORD)
    code, found = doctor(backend=server.url)
    assert (code, faults(found)) == (0, {})
    assert "access" in of_level("ok", found)
    code, found = doctor(backend=f"redis://127.0.0.1:{server.port}/0")
    assert (code, list(faults(found))) == (1, ["reachable"])
    assert "NOAUTH" in faults(found)["reachable"].text


def test_words_are_for_people(memcached, monkeypatch, capsys):
    """A line for each finding, its fix below, and a summary."""
    monkeypatch.setenv("SHAREDSESSION_SECRET_KEY", SECRETS[0])
    assert main(["doctor", "--backend", memcached.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok     secret        1 secret is set"
    assert lines[-3].lstrip().startswith("-> set farm_check")
    assert lines[-1] == "0 faults, 1 note"


@pytest.mark.parametrize(("mode", "level"), [(0o666, "fault"), (0o660, "fault"), (0o644, "note"), (0o600, None)])
@pytest.mark.parametrize("topic", ["secret", "access"])
def test_a_file_open_to_others_is_named(tmp_path, doctor, topic: str, mode: int, level: str | None) -> None:
    """The key file and the session file: one that others can change is a fault, one that they can read a note."""
    files = {"secret": tmp_path / "farm.key", "access": tmp_path / "s.db"}
    files["secret"].write_text(f"{SECRETS[0]}\n")
    files["secret"].chmod(0o600)
    doctor("--key-file", str(files["secret"]), backend=f"sqlite:///{files['access']}")
    files[topic].chmod(mode)
    _, found = doctor("--key-file", str(files["secret"]), backend=f"sqlite:///{files['access']}")
    said = [finding for finding in found if finding.topic == topic and finding.level != "ok"]
    assert [finding.level for finding in said] == ([level] if level else [])
    assert all(finding.fix == f"chmod 600 {files[topic]}" for finding in said)
