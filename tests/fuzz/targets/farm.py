"""The registry of a farm: sealed with no secret, so anyone who can write to the store can write it."""

import json
from dataclasses import asdict

from sharedsession.farm import WebNode
from sharedsession.farm.drift import disagreements, is_odd_one_out, leading
from sharedsession.farm.registry import decoded, encoded
from tests.fuzz.target import target

_NODE = WebNode(
    id="a", name="web1:80", version="0.1", app="x", secrets=("k1",), parts={"idle": "1"}, at=1.8e9, since=1.7e9,
    values={"idle_timeout": "1200"},
)  # fmt: skip
_ENTRY = asdict(_NODE)


@target(
    encoded({"a": _NODE}),
    json.dumps({"a": _ENTRY, "b": {**_ENTRY, "id": "b", "at": 1e308, "since": -1e308}}).encode(),
    json.dumps({"a": {**_ENTRY, "parts": [["a", "b"]], "secrets": "xyz"}}).encode(),
    json.dumps({"a": {**_ENTRY, "id": "b", "name": "a\n\u202eb", "secrets": ["k2"]}}).encode(),
    b"[" * 5000,
    b'{"a":' * 5000,
    words=(b"{", b"[", b'"', b"null", b"NaN", b"1e400", b"Infinity", b"\\ud800", b"\\u0000", b'"at":', b'"secrets":'),
)
def registry(data: bytes) -> None:
    """Whatever stands in the registry becomes web nodes cut to size, which can be compared, shown and written again."""
    found = decoded(data)
    assert decoded(encoded(found)) == found
    others = list(found.values())
    for disagreement in disagreements(_NODE, others, 1.8e9):
        assert str(disagreement).isprintable()
    is_odd_one_out(_NODE, others)
    leading([_NODE, *others])
    json.dumps([asdict(node) for node in others]).encode()


TARGETS = (registry,)
