"""The key ring: records that make no sense are refused when they are replayed, not when a signature needs them."""

import base64
from typing import Any

import orjson
import pytest

from signing.algorithms import ALGORITHMS
from signing.errors import BadKeyError
from signing.keyring import KeyRing

_, PUBLIC = ALGORITHMS["Ed25519"].generate()
CREATED = {
    "event": "key.created",
    "key": "entry-1",
    "purpose": "entry",
    "algorithm": "Ed25519",
    "provider": "local",
    "public_key": base64.b64encode(PUBLIC).decode(),
}


@pytest.mark.parametrize(
    "changes",
    [{"algorithm": "none"}, {"public_key": "AAAA"}, {"public_key": "not base64"}, {"event": "key.lost"}],
)
def test_a_key_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    ring = KeyRing()
    ring.replay(0, orjson.dumps(CREATED))
    assert ring.keys["entry-1"].public_key == PUBLIC
    with pytest.raises(BadKeyError):
        KeyRing().replay(0, orjson.dumps(CREATED | changes))


def test_a_key_is_created_once() -> None:
    ring = KeyRing()
    ring.replay(0, orjson.dumps(CREATED))
    with pytest.raises(BadKeyError, match="created twice"):
        ring.replay(1, orjson.dumps(CREATED))
