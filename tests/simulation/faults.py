"""What breaks, one function a kind: it breaks something and returns what mends it."""

from collections.abc import Callable
from random import Random

from tests.simulation.farm import SECRETS, Farm, WebNode
from tests.simulation.memcached import SimulatedMemcached
from tests.simulation.network import Host, Network
from tests.simulation.plan import Fault

Mend = Callable[[], object]

_SLOW = (0.05, 0.1, 0.2, 0.3, 0.6)  # seconds, around the timeout of 0.25
_SKEW = 600.0


def strike(fault: Fault, farm: Farm) -> Mend:
    """Breaks something. Returns what mends it."""
    network, host = farm.network, farm.hosts[fault.node]
    if fault.kind in _OF_HOSTS:
        return _OF_HOSTS[fault.kind](network, host, fault)
    if fault.kind in _OF_FARMS:
        return _OF_FARMS[fault.kind](farm, fault)
    everybody = [web.name for web in farm.webs]
    names = everybody if fault.dice < 0.4 else [farm.webs[fault.web].name]
    for name in names:
        _OF_LINKS[fault.kind](network, name, host.name)
    return lambda: [network.mend(name, host.name) for name in names]


# -- nodes of the store


def _kill(network: Network, host: Host, _fault: Fault) -> Mend:
    network.kill(host.name)
    return lambda: network.start(host.name)


def _restart(network: Network, host: Host, fault: Fault) -> Mend:
    def restart(times: int) -> None:
        writes = host.server.writes if isinstance(host.server, SimulatedMemcached) else 0
        network.kill(host.name)
        network.start(host.name)
        if writes:  # other applications bring its CAS numbers to where they were: the numbers of tokens come again
            host.server.serve_others(max(0, writes - 1 - int(fault.dice * 10)))
        if times:
            network.loop.call_later(fault.seconds / 4, restart, times - 1)

    restart(int(fault.dice * 4))
    return _nothing


def _stop(_network: Network, host: Host, _fault: Fault) -> Mend:
    host.stop()
    return lambda: host.go_on(without_time=False)


def _stand_still(_network: Network, host: Host, _fault: Fault) -> Mend:
    host.stop()
    return lambda: host.go_on(without_time=True)


def _slow(_network: Network, host: Host, fault: Fault) -> Mend:
    host.slowness = _SLOW[int(fault.dice * len(_SLOW))]

    def mend() -> None:
        host.slowness = 0.0

    return mend


def _evict(network: Network, host: Host, fault: Fault) -> Mend:
    """Some of what the node holds vanishes, a few items at a time: records, stamps, lists, tombstones."""
    chance = Random(fault.dice)

    def evict(times: int) -> None:
        held = host.server.keys()
        for key in held:
            if chance.random() < 0.4:
                host.server.evict(key)
        if times:
            network.loop.call_later(fault.seconds / 5, evict, times - 1)

    evict(4)
    return _nothing


def _fill(_network: Network, host: Host, _fault: Fault) -> Mend:
    host.server.out_of_memory = True

    def mend() -> None:
        host.server.out_of_memory = False

    return mend


def _reset(network: Network, host: Host, fault: Fault) -> Mend:
    for turn in range(5):
        network.loop.call_later(turn * fault.seconds / 5, network.reset, host.name)
    return _nothing


# -- links


def _cut(network: Network, sender: str, host: str) -> None:
    link = network.link(sender, host)
    link.sends = link.answers = False


def _cut_for_requests(network: Network, sender: str, host: str) -> None:
    network.link(sender, host).sends = False


def _cut_for_answers(network: Network, sender: str, host: str) -> None:
    network.link(sender, host).answers = False


def _late(network: Network, sender: str, host: str) -> None:
    network.link(sender, host).late = 0.3


def _tear(network: Network, sender: str, host: str) -> None:
    network.link(sender, host).tears = 0.2


# -- web nodes


def _crash(farm: Farm, fault: Fault) -> Mend:
    web = farm.webs[fault.web]
    web.crash()
    web.start()
    return _nothing


def _cancel(farm: Farm, fault: Fault) -> Mend:
    for turn in range(10):
        farm.loop.call_later(turn * fault.seconds / 10, farm.webs[fault.web].cancel_requests)
    return _nothing


def _wrong_clock(farm: Farm, fault: Fault) -> Mend:
    """The clock is set, and stays so: a node that is wrong for seconds only would be a milder case."""
    farm.webs[fault.web].shift_clock(_SKEW if fault.dice < 0.5 else -_SKEW)
    return _nothing


def _rotate(farm: Farm, fault: Fault) -> Mend:
    """A new secret comes in, on one web node after the other: to be verified first, to sign then.

    The first time, requests of the process before go on beside the new one. Before any web node signs with the new
    secret they are over everywhere: such a process would be two steps behind.
    """

    def verify(web: WebNode) -> None:
        web.start(SECRETS)

    def drain(web: WebNode) -> None:
        web.crash()
        web.start(SECRETS)

    def sign(web: WebNode) -> None:
        web.crash()
        web.start(SECRETS[::-1])

    steps = [(step, web) for step in (verify, drain, sign) for web in farm.webs]
    for turn, (step, web) in enumerate(steps):
        farm.loop.call_later(turn * fault.seconds / len(steps), step, web)
    return _nothing


def _nothing() -> None:
    """Nothing is left to mend."""


_OF_HOSTS: dict[str, Callable[[Network, Host, Fault], Mend]] = {
    "kill": _kill,
    "restart": _restart,
    "stop": _stop,
    "stand still": _stand_still,
    "slow": _slow,
    "evict": _evict,
    "fill": _fill,
    "reset": _reset,
}
_OF_LINKS: dict[str, Callable[[Network, str, str], None]] = {
    "cut": _cut,
    "cut for requests": _cut_for_requests,
    "cut for answers": _cut_for_answers,
    "late": _late,
    "tear": _tear,
    "forget": Network.forget,
}
_OF_FARMS: dict[str, Callable[[Farm, Fault], Mend]] = {
    "crash": _crash,
    "cancel": _cancel,
    "wrong clock": _wrong_clock,
    "rotate": _rotate,
}
