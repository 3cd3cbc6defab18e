"""How keys are told in words: the list of the terminal, one key in full, the leaves of a window. Reads, never writes.

ID                        PURPOSE     ALGORITHM  STATE   SINCE             SIGNS
entry-ed25519-4f0c…       entry       Ed25519    active  2026-11-23 10:00  activity from 0, meta from 0
entry-hs256-91d2…         entry       HS256 (1)  active  2026-11-23 10:05  activity from 7, meta from 0
(1) HMAC: not verifiable by outsiders, …
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson

from signing.algorithms import ALGORITHMS
from signing.checkpoint import NoteKey
from signing.jws import public_jwk
from signing.models import KeyEvent, KeyWindow, Ledger, SigningKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

NO_KEYS = "There are no keys yet. Set-up makes the first ones: ./auditlog setup_database"
HMAC = "HMAC: not verifiable by outsiders, for whoever can verify can also sign"
_HEADINGS = ("ID", "PURPOSE", "ALGORITHM", "STATE", "SINCE (UTC)", "SIGNS")
State = SigningKey.State


def listing(keys: Sequence[SigningKey]) -> str:
    """Return a table of the keys, the oldest first."""
    rows = [_HEADINGS, *((*_cells(key), "; ".join(window_texts(key)) or "nothing yet") for key in keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) - 1)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)), row[-1]]) for row in rows
    ]
    if any(not ALGORITHMS[key.algorithm].outsiders_can_verify for key in keys):
        lines.append(f"(1) {HMAC}")
    return "\n".join(lines)


def details(key: SigningKey) -> str:
    """Return everything that is public about a key, and every step of its life with who took it and why."""
    times = {
        "created": key.created_at,
        "activated": key.activated_at,
        "retired": key.retired_at,
        "compromised or destroyed": key.ended_at,
    }
    facts = [
        ("id", key.id),
        ("purpose", key.purpose),
        ("algorithm", key.algorithm if is_public(key) else f"{key.algorithm} ({HMAC})"),
        ("state", str(key.state)),
        *((name, _moment(at)) for name, at in times.items() if at is not None),
        ("provider", key.provider),
        ("private half", "destroyed" if key.sealed_private_key is None else "kept by the provider"),
        *_public_facts(key),
        *(("signs", text) for text in window_texts(key)),
        *((f"keys leaf {step.leaf_index}", f"{step.at} {step}") for step in steps(key)),
    ]
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in facts)


def window_texts(key: SigningKey) -> list[str]:
    """Return for each ledger which leaves are the key's, and from where on it is not believed."""
    windows = KeyWindow.objects.filter(key=key).select_related("ledger").order_by("ledger_id")
    return [f"{window.ledger.name} {leaves(window)}" for window in windows]


def leaves(window: KeyWindow) -> str:
    """Say which leaves of its ledger are the key's."""
    if window.until_leaf is None:
        text = f"from {window.first_leaf}"
    elif window.until_leaf <= window.first_leaf:
        text = "nothing"
    else:
        text = f"{window.first_leaf} to {window.until_leaf - 1}"
    if window.untrusted_from_leaf is not None:
        text += f" (untrusted from {window.untrusted_from_leaf})"
    return text


@dataclass(frozen=True, slots=True)
class Step:
    """A record of the keys ledger that names the key."""

    leaf_index: int
    at: str
    event: str
    by: str
    reason: str

    def __str__(self) -> str:
        return f"{self.event} by {self.by}: {self.reason}"


def steps(key: SigningKey) -> list[Step]:
    """Return what became of a key, from its first record on."""
    found = []
    for leaf_index, record in KeyEvent.objects.values_list("leaf_index", "record"):
        said = told(record)
        if said.get("key") == key.id:
            words = (str(said.get(name, "")) for name in ("at", "event", "by", "reason"))
            found.append(Step(leaf_index, *words))
    return found


def told(record: bytes | memoryview) -> dict[str, Any]:
    """Return what a record of the keys ledger says; nothing if an intruder appended what is no record."""
    try:
        said = orjson.loads(bytes(record))
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}


def since(key: SigningKey) -> datetime | None:
    """Return when the key came into the state in which it is."""
    reached = {State.PRE_ACTIVE: key.created_at, State.ACTIVE: key.activated_at, State.RETIRED: key.retired_at}
    return reached.get(State(key.state), key.ended_at)


def fingerprint(key: SigningKey) -> str:
    """Return SHA-256 over the public half, in hex; nothing for HMAC, which has none."""
    return sha256(key.public_key).hexdigest() if key.public_key else ""


def vkeys(key: SigningKey) -> list[str]:
    """Return the lines that pin a checkpoint key, one for each ledger."""
    return [NoteKey(ledger.origin, bytes(key.public_key)).vkey for ledger in Ledger.objects.order_by("pk")]


def is_public(key: SigningKey) -> bool:
    """Tell whether outsiders can verify what the key signs."""
    return ALGORITHMS[key.algorithm].outsiders_can_verify


def _cells(key: SigningKey) -> tuple[str, ...]:
    algorithm = key.algorithm if is_public(key) else f"{key.algorithm} (1)"
    return (key.id, key.purpose, algorithm, key.state, _moment(since(key)))


def _public_facts(key: SigningKey) -> Iterator[tuple[str, str]]:
    if key.public_key:
        yield "public key", base64.b64encode(key.public_key).decode()
    if key.purpose == SigningKey.Purpose.CHECKPOINT:
        yield from (("vkey", line) for line in vkeys(key))
    else:
        jwk = public_jwk(key.id, key.algorithm, bytes(key.public_key))
        if jwk is not None:
            yield "jwk", json.dumps(jwk)


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "-"
