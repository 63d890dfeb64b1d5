"""What `doctor` looks at: the settings of this web node, the servers behind its backend, the other web nodes.

Nothing here prints. Nothing is written, unless this web node is to announce itself.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sharedsession.cli.findings import FAULT, NOTE, OK, Finding, Limits, of_server
from sharedsession.cli.options import close
from sharedsession.cli.servers import ask
from sharedsession.concurrency.driver import run
from sharedsession.errors import BackendError, ConfigurationError
from sharedsession.farm.drift import Disagreement, WebNode, disagreements
from sharedsession.keys.machine_key import MachineKey
from sharedsession.manager import SessionManager
from sharedsession.settings.settings import Settings

_READS = 11
_SECRETS = {"secret_key", "key_file"}


def examine(
    keywords: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    announce: bool = False,
    clock: Callable[[], float] = time.time,
) -> list[Finding]:
    """Looks at everything, and says what was found.

    Args:
        keywords: settings of this web node that beat the environment.
        environ: the environment.
        announce: whether this web node announces itself to the others.
        clock: seconds since the epoch.
    """
    settings, found = _settings(keywords, environ)
    if settings is None:
        return found
    has_secret = not any(finding.level == FAULT for finding in found)
    try:
        manager = SessionManager(settings, blocking=True, clock=clock)
        return [*found, *_store(settings, clock), *(_farm(manager, announce=announce) if has_secret else ())]
    except ConfigurationError as fault:
        return [*found, _wrong(fault)]
    finally:
        close(settings.backend)


def _settings(keywords: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """The settings; where nothing but the secret is wrong, some that can ask the store all the same."""
    try:
        settings = Settings.load(keywords, environ)
    except ConfigurationError as fault:
        return _without_secret(keywords, environ), [_wrong(fault)]
    return settings, list(_of_settings(settings))


def _without_secret(keywords: Mapping[str, Any], environ: Mapping[str, str]) -> Settings | None:
    others = {name: value for name, value in keywords.items() if name not in _SECRETS}
    variables = {f"SHAREDSESSION_{name.upper()}" for name in _SECRETS}
    rest = {name: value for name, value in environ.items() if name not in variables}
    try:
        return Settings.load({**others, "secret_key": MachineKey.generate()}, rest)
    except ConfigurationError:
        return None


def _wrong(fault: ConfigurationError) -> Finding:
    return Finding(FAULT, "settings", str(fault), "set it as it says, the same on every web node")


def _of_settings(settings: Settings) -> Iterator[Finding]:
    count = len(settings.machine_key().fingerprints())
    yield Finding(OK, "secret", "1 secret is set" if count == 1 else f"{count} secrets are set: the first one signs")
    yield Finding(OK, "app_name", f"this web node is of {settings.app_name!r}")
    if settings.development:
        text = "development=True: weak secrets and plain-HTTP cookies are let pass"
        yield Finding(NOTE, "settings", text, "leave it out on machines that serve somebody")


# -- the store


def _store(settings: Settings, clock: Callable[[], float]) -> Iterator[Finding]:
    limits = Limits(settings.timeout, settings.timeouts.idle, settings.max_size)
    for server in ask(settings.backend, settings.timeout, _READS, clock):  # type: ignore[arg-type]  # the manager's colour
        yield from of_server(server, limits)
    facts = settings.backend.health()
    if "layout" in facts:
        text = f"{facts['replicas']} of {len(facts['nodes'])} nodes hold a session, layout {facts['layout']}"
        yield Finding(OK, "ring", f"{text}, fingerprint {facts['fingerprint']}")


# -- the other web nodes


def _farm(manager: SessionManager, *, announce: bool) -> list[Finding]:
    try:
        others = run(manager.farm.look())
        if announce:
            run(manager.farm.announce())
    except BackendError as error:
        return [Finding(NOTE, "web nodes", f"the other web nodes cannot be looked up: {error}", "mend the store first")]
    return list(_compared(manager.farm.described(), others, manager.clock()))


def _compared(ours: WebNode, others: Sequence[WebNode], now: float) -> Iterator[Finding]:
    if not others:
        mend = 'set farm_check="warn" on the web nodes: they announce themselves with their first request'
        yield Finding(NOTE, "web nodes", "no other web node has announced itself on this store", mend)
        return
    found = disagreements(ours, others, now)
    is_alone = _is_alone(ours, others)
    yield from (_disagreement(each, is_alone=is_alone) for each in found)
    same = [node for node in others if node.app == ours.app]
    odd = [node for node in same if any(each.difference.is_fault for each in disagreements(ours, [node], now))]
    text = f"{len(same) - len(odd)} of {len(same)} other web nodes of this app_name agree with this one"
    yield Finding(OK, "web nodes", text) if same and not odd else Finding(NOTE, "web nodes", text, "see above")


def _is_alone(ours: WebNode, others: Sequence[WebNode]) -> bool:
    """Whether ``app_name`` is misspelt, most likely: nobody else has it, and others have the same secrets."""
    return all(node.app != ours.app for node in others) and any(node.secrets == ours.secrets for node in others)


def _disagreement(each: Disagreement, *, is_alone: bool) -> Finding:
    difference = each.difference
    is_fault = difference.is_fault or (is_alone and difference.part == "app_name")
    return Finding(FAULT if is_fault else NOTE, difference.part, each.text, difference.mend)
