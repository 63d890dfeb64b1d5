"""All targets by name: one for each parser of what comes from outside."""

from tests.fuzz.target import Target
from tests.fuzz.targets import farm, http, keys, records, replies, requests, settings, verbs

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (http, keys, requests, records, replies, verbs, settings, farm)
    for target in module.TARGETS
}
