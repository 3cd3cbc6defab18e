"""Keys, windows and ledgers, as the records of the `keys` ledger tell them. Pure: records in, a key ring out.

The tables of keys are only an index over these records; verification believes the ring and compares them with it.
The records themselves are described in services.py.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from signing.algorithms import ALGORITHMS
from signing.errors import BadKeyError

ENTRY_PURPOSE = "entry"
CHECKPOINT_PURPOSE = "checkpoint"

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(slots=True)
class Window:
    """The leaves of one ledger that a key may have signed, and from where on it proves nothing."""

    first_leaf: int
    until_leaf: int | None = None
    untrusted_from_leaf: int | None = None

    def refusal(self, leaf_index: int) -> str | None:
        """Say why the key cannot have signed this leaf, or None if it can."""
        if leaf_index < self.first_leaf:
            return f"its key signs only from leaf {self.first_leaf} on"
        if self.until_leaf is not None and leaf_index >= self.until_leaf:
            return f"its key was replaced at leaf {self.until_leaf}"
        return None


@dataclass(slots=True)
class RingKey:
    """A key as its records tell it. `created_leaf` is the place of its first record in the keys ledger."""

    id: str
    purpose: str
    algorithm: str
    provider: str
    public_key: bytes
    created_leaf: int
    state: str = "pre-active"
    windows: dict[str, Window] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RingLedger:
    """A ledger as its record tells it."""

    name: str
    origin: str
    kind: str


@dataclass(slots=True)
class RingCertificate:
    """Whose an export key is, as its records tell it; without a certificate while one is only asked for."""

    person: str
    certificate: bytes | None = None
    chain: tuple[bytes, ...] = ()
    revoked: bool = False


class KeyRing:
    """All keys, ledgers and certificates (by key), replayed record by record."""

    def __init__(self) -> None:
        self.keys: dict[str, RingKey] = {}
        self.ledgers: dict[str, RingLedger] = {}
        self.certificates: dict[str, RingCertificate] = {}

    def replay(self, leaf_index: int, record: bytes) -> None:
        """Take in the next record of the keys ledger. Raises BadKeyError if it makes no sense after those before."""
        try:
            said = orjson.loads(record)
            _STEPS[said["event"]](self, leaf_index, said)
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError) as error:
            raise BadKeyError(f"record {leaf_index} of the keys ledger makes no sense: {error!r}") from error

    def created(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`key.created`."""
        key_id = said["key"]
        if key_id in self.keys:
            raise ValueError(f"{key_id} is created twice")
        public_key = base64.b64decode(said["public_key"], validate=True)
        # Whoever took over the application can append any record; what is no key must not stop a verification later.
        algorithm = ALGORITHMS[said["algorithm"]]
        if algorithm.outsiders_can_verify:
            algorithm.load_public(public_key)
        self.keys[key_id] = RingKey(
            key_id, said["purpose"], said["algorithm"], said["provider"], public_key, leaf_index
        )

    def activated(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`key.activated`."""
        del leaf_index
        key = self.keys[said["key"]]
        key.state = "active"
        key.windows = {ledger: Window(first_leaf) for ledger, first_leaf in said["windows"].items()}

    def retired(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`key.retired`."""
        del leaf_index
        key = self.keys[said["key"]]
        key.state = "retired"
        _close(key, said["windows"])

    def compromised(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`key.compromised`."""
        del leaf_index
        key = self.keys[said["key"]]
        key.state = "compromised"
        _close(key, said["windows"])
        for ledger, trusted_until in said["trusted_until"].items():
            if ledger in key.windows:
                key.windows[ledger].untrusted_from_leaf = trusted_until

    def destroyed(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`key.destroyed`."""
        del leaf_index
        self.keys[said["key"]].state = "destroyed"

    def opened(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`ledger.opened`."""
        del leaf_index
        if said["name"] in self.ledgers:
            raise ValueError(f"the ledger {said['name']} is opened twice")
        self.ledgers[said["name"]] = RingLedger(said["name"], said["origin"], said["kind"])
        for key_id in said["keys"]:
            self.keys[key_id].windows[said["name"]] = Window(0)

    def assigned(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`certificate.assigned`."""
        del leaf_index
        key_id = self.keys[said["key"]].id
        if key_id in self.certificates:
            raise ValueError(f"{key_id} is assigned twice")
        self.certificates[key_id] = RingCertificate(said["person"])

    def certified(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`certificate.added`."""
        del leaf_index
        told = self.certificates[said["key"]]
        if told.certificate is not None:
            raise ValueError(f"{said['key']} is certified twice")
        told.certificate = base64.b64decode(said["certificate"], validate=True)
        told.chain = tuple(base64.b64decode(one, validate=True) for one in said["chain"])

    def revoked(self, leaf_index: int, said: Mapping[str, Any]) -> None:
        """`certificate.revoked`."""
        del leaf_index
        self.certificates[said["key"]].revoked = True


_STEPS: dict[str, Callable[[KeyRing, int, Mapping[str, Any]], None]] = {
    "key.created": KeyRing.created,
    "key.activated": KeyRing.activated,
    "key.retired": KeyRing.retired,
    "key.compromised": KeyRing.compromised,
    "key.destroyed": KeyRing.destroyed,
    "ledger.opened": KeyRing.opened,
    "certificate.assigned": KeyRing.assigned,
    "certificate.added": KeyRing.certified,
    "certificate.revoked": KeyRing.revoked,
}


def _close(key: RingKey, ends: Mapping[str, int]) -> None:
    for ledger, until_leaf in ends.items():
        window = key.windows.get(ledger)
        if window is not None and window.until_leaf is None:
            window.until_leaf = until_leaf
