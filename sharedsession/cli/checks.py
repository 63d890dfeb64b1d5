"""What `doctor` checks: the settings of this web node, the servers behind its backend, the other web nodes.

Nothing here prints. Nothing is written, unless this web node is to announce itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sharedsession.cli.backend_nodes import ask
from sharedsession.cli.findings import FAULT, NOTE, OK, Finding, Limits, of_node, of_rights
from sharedsession.cli.options import close, without_secrets
from sharedsession.concurrency import run
from sharedsession.environment import REAL, Environment
from sharedsession.errors import BackendError, ConfigurationError
from sharedsession.farm import Disagreement, Monitor, WebNode, disagreements
from sharedsession.keys import KeyFile, MachineKey
from sharedsession.manager import SessionManager, engines_of
from sharedsession.settings import Settings

_READS = 11


def examine(
    keywords: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    announce: bool = False,
    environment: Environment = REAL,
) -> list[Finding]:
    """Checks everything; returns what was found.

    Args:
        keywords: settings of this web node that beat the environment variables.
        environ: the environment variables.
        announce: whether this web node announces itself to the others.
        environment: where clocks and random bytes come from.
    """
    settings, found = _settings(keywords, environ, environment)
    if settings is None:
        return found
    try:
        if found:  # the secret is wrong
            return [*found, *_nodes(settings)]
        return examine_manager(SessionManager(settings), announce=announce)
    except ConfigurationError as error:
        return [*found, wrong(error)]
    finally:
        close(settings.backend)


def examine_manager(manager: SessionManager, *, announce: bool = False) -> list[Finding]:
    """Checks everything about the settings that a manager has; returns what was found.

    Args:
        manager: of an application, or of settings that were loaded for this.
        announce: whether this web node announces itself to the others.

    Raises:
        ConfigurationError: the backend has only asynchronous verbs.
    """
    settings = engines_of(manager).settings
    try:
        own = list(_of_settings(settings))
    except ConfigurationError as error:  # the secret of a framework, which is read when it is used
        return [wrong(error), *_nodes(settings)]
    monitor, clock = engines_of(manager).blocking.monitor, settings.environment.clock
    return [*own, *_nodes(settings), *_farm(monitor, clock(), announce=announce)]


def _settings(
    keywords: Mapping[str, Any], environ: Mapping[str, str], environment: Environment
) -> tuple[Settings | None, list[Finding]]:
    """Returns the settings; where only the secret is wrong, some with another one, so that the store can be asked."""
    try:
        settings = Settings.load(keywords, environ, environment=environment)
    except ConfigurationError as error:
        return _with_another_secret(keywords, environ, environment), [wrong(error)]
    return settings, []


def _with_another_secret(
    keywords: Mapping[str, Any], environ: Mapping[str, str], environment: Environment
) -> Settings | None:
    others = {name: value for name, value in keywords.items() if name not in {"secret_key", "key_file"}}
    secret = {"secret_key": MachineKey.generate()}
    try:
        return Settings.load({**others, **secret}, without_secrets(environ), environment=environment)
    except ConfigurationError:
        return None


def wrong(error: ConfigurationError) -> Finding:
    """Returns the finding about a wrong setting, in the words of the start of a web node."""
    return Finding(FAULT, "settings", str(error), "correct this setting, on every web node")


def _of_settings(settings: Settings) -> Iterator[Finding]:
    count = len(settings.machine_key().fingerprints())
    yield Finding(OK, "secret", "1 secret is set" if count == 1 else f"{count} secrets are set: the first one signs")
    if isinstance(settings.machine_key, KeyFile):
        yield from of_rights("secret", settings.machine_key.path, settings.machine_key.rights)
    yield Finding(OK, "app_name", f"this web node belongs to the farm {settings.app_name!r}")
    if settings.development:
        text = "development=True allows weak secrets and plain-HTTP cookies"
        yield Finding(NOTE, "settings", text, "remove it on machines that serve visitors")


# -- the store


def _nodes(settings: Settings) -> Iterator[Finding]:
    limits = Limits(settings.timeout, settings.timeouts.idle, settings.max_size)
    nodes = ask(settings.backend, settings.timeout, _READS, settings.environment)
    for node in nodes:
        yield from of_node(node, limits)
    facts = settings.backend.health()
    if "layout" in facts:
        down = len(nodes) - sum(node.is_up for node in nodes)
        missing = f" ({down} of them {'does' if down == 1 else 'do'} not answer)" if down else ""
        text = f"each session has a copy on {facts['replicas']} of the {len(nodes)} nodes{missing}"
        yield Finding(OK, "ring", f"{text}, layout {facts['layout']}, fingerprint {facts['fingerprint']}")


# -- the other web nodes


def _farm(monitor: Monitor, now: float, *, announce: bool) -> list[Finding]:
    try:
        others = run(monitor.look())
        if announce:
            run(monitor.announce())
    except BackendError as error:
        text = f"the registry of the other web nodes cannot be read: {error}"
        return [Finding(NOTE, "web nodes", text, "fix the store first")]
    return list(_compared(monitor.described(), others, now))


def _compared(ours: WebNode, others: Sequence[WebNode], now: float) -> Iterator[Finding]:
    if not others:
        fix = 'set farm_check="warn" on the web nodes: they announce themselves with their first request'
        yield Finding(NOTE, "web nodes", "no other web node has announced itself on this store", fix)
        return
    found = disagreements(ours, others, now)
    is_alone = _is_alone(ours, others)
    yield from (_disagreement(each, is_alone=is_alone) for each in found)
    same = [node for node in others if node.app == ours.app]
    odd = [node for node in same if any(each.difference.is_fault for each in disagreements(ours, [node], now))]
    text = f"{len(same) - len(odd)} of {len(same)} other web nodes of this app_name agree with this one"
    yield Finding(OK, "web nodes", text) if same and not odd else Finding(NOTE, "web nodes", text, "see above")


def _is_alone(ours: WebNode, others: Sequence[WebNode]) -> bool:
    """Returns whether ``app_name`` is probably misspelt: no other web node has it, and some have the same secrets."""
    return all(node.app != ours.app for node in others) and any(node.secrets == ours.secrets for node in others)


def _disagreement(each: Disagreement, *, is_alone: bool) -> Finding:
    difference = each.difference
    is_fault = difference.is_fault or (is_alone and difference.part == "app_name")
    return Finding(FAULT if is_fault else NOTE, difference.part, each.text, difference.fix)
