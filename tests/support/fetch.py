"""Makes the servers of the tests available: ``python -m tests.support.fetch``, or some of them by name.

What is on PATH is taken as it is. Otherwise, where there is apt, packages are unpacked into ``.servers/``,
with state and caches of their own: no root, and nothing on the system changes. No error on a developer's
machine, whose tests are skipped then; with ``CI=true`` it is one.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support import peers
from tests.support.binaries import HOW, SERVERS, MissingServerError, binary, environment

PACKAGES = {
    "memcached": ["memcached"],
    "redis-server": ["redis-server", "redis-tools"],
    "nginx": ["nginx"],
    "haproxy": ["haproxy"],
    "varnishd": ["varnish"],
    "chromium-headless-shell": ["chromium-headless-shell", "chromium-common", "fonts-dejavu-core"],
}
# Fetched when they are asked for by name: `make libraries` and `make instructions` do.
ON_REQUEST = {"postgres": ["postgresql"], "valgrind": ["valgrind"]}
# What the library is compared with. Fetched along and without a word: the tests that need one say what is missing.
PEERS = {"libmemcached": ["libmemcached11"], "php": ["php-cli", "php-memcached"]}
VERSION = {"nginx": "-v", "haproxy": "-v", "varnishd": "-V"}
PATIENCE = 300

# No hook of the system's configuration runs: some of them clean the system's own caches.
APT_CONF = """
Dir::State "{private}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{private}/cache";
Dir::Log "{private}/log";
Debug::NoLocking "1";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
"""


def main(wanted: Sequence[str] = ()) -> int:
    """Fetches what is missing and says in one line each what still is.

    Args:
        wanted: names in `PACKAGES` or `ON_REQUEST`; none: all of `PACKAGES`, and the peers.
    """
    missing = [name for name in wanted or PACKAGES if not works(name)]
    lacking = [] if wanted else [name for name in PEERS if not peers.is_there(name)]
    trouble = fetch([*missing, *lacking]) if missing or lacking else ""
    for name in (still := [name for name in missing if not works(name)]):
        reason = trouble or "the fetched one does not run"
        sys.stdout.write(f"{name} is missing: {HOW[name].split(', or run')[0]} ({reason})\n")
    return 1 if still and os.environ.get("CI") == "true" else 0


def works(name: str) -> bool:
    """Tells whether a server is there and at least prints its version."""
    try:
        program = binary(name)
        return _run([str(program), VERSION.get(name, "--version")], env=environment(program)).returncode == 0
    except (MissingServerError, OSError, subprocess.TimeoutExpired):
        return False


def fetch(names: Iterable[str]) -> str:
    """Downloads and unpacks some servers and peers, each by itself. Returns what went wrong last, if anything did."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return "there is no apt here to fetch it with"
    try:
        SERVERS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="apt-", dir=SERVERS) as private:
            apt = _prepare(Path(private))
            troubles = [_fetch(apt, (PACKAGES | ON_REQUEST | PEERS)[name], Path(private)) for name in names]
            return next((trouble for trouble in reversed(troubles) if trouble), "")
    except (OSError, subprocess.SubprocessError) as error:
        return f"fetching failed: {error}"


def _prepare(private: Path) -> list[str]:
    for folder in ("state/lists/partial", "cache/archives/partial", "log"):
        (private / folder).mkdir(parents=True)
    conf = private / "apt.conf"
    conf.write_text(APT_CONF.format(private=private))
    apt = ["apt-get", "-c", str(conf)]
    _run([*apt, "update"])  # fails for one dead source too; what counts is what arrives in the end
    return apt


def _fetch(apt: list[str], packages: list[str], private: Path) -> str:
    wanted = ["install", "--download-only", "--reinstall", "--yes", "--no-install-recommends", *packages]
    done = _run([*apt, *wanted])
    arrived = sorted((private / "cache/archives").glob("*.deb"))
    if done.returncode != 0 or not arrived:
        return "apt-get: " + (done.stderr or "nothing to download").strip().splitlines()[-1]
    for package in arrived:
        if not package.name.startswith("libc6_"):  # must match the running system's loader
            _run(["dpkg", "-x", str(package), str(SERVERS)], check=True)
    return ""


def _run(
    command: list[str], *, env: dict[str, str] | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**(env or os.environ), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=check,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
