"""Checking one entry: its row against its record, its signature against the key ring. Pure: values in, findings out.

The order of the checks, after the caller has compared the record with its leaf:
    a. the columns, written as a record is written, stand around the data of the record
    b. from revision 2 on, and only then, the record says what it supersedes, before its data
    c. the data inside, or the detached data beside it, is whole; `event_digest` is that of what the writer sent
    d. a record that names a key carries a signature of that entry key, inside its window
    e. the key was not compromised before this leaf
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, Protocol

import orjson

from activity.amendment import split_amendment
from activity.event import canonical_ip
from activity.record import after_data, before_data, claims_digest, shown
from signing import jws
from signing.algorithms import ALGORITHMS
from signing.keyring import ENTRY_PURPOSE
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from signing.algorithms import Verifier
    from signing.keyring import KeyRing, RingKey

_TEXTS = ("event_id", "source", "target", "action", "actor")
_DATA = b',"data":'
_DETACHED = re.compile(rb',"data_sha256":"([0-9a-f]{64})","data_size":([0-9]{1,10})')
_NOT_OURS = "the record is not made as this application makes records"


class Row(NamedTuple):
    """The columns of an entry as the verifier reads them; all that a record is compared with."""

    leaf_index: int
    record: bytes
    detached_data: bytes | None
    event_digest: bytes
    signature: bytes | None
    key_id: str | None
    event_id: str | None
    id: str
    ip: str | None
    occurred_at: str | None  # as a record writes it; None for what no record can hold
    outcome: str
    recorded_at: str | None
    revision: int
    severity: str
    source: str
    target: str
    type: str
    action: str
    actor: str


class Signed(Protocol):
    """A row whose record carries a signature of its own."""

    @property
    def leaf_index(self) -> int:
        """Where it stands."""

    @property
    def record(self) -> bytes:
        """What is signed."""

    @property
    def signature(self) -> bytes | None:
        """The raw signature."""

    @property
    def key_id(self) -> str | None:
        """The key that must have signed."""


class EntryCheck:
    """Checks single entries (steps 3 and 4) of one ledger against the key ring."""

    def __init__(
        self,
        ledger: str,
        ring: KeyRing,
        hmac_verifier: Callable[[RingKey], Verifier | None],
        *,
        kept_signatures: int = 0,
    ) -> None:
        """`hmac_verifier` gives what checks a symmetric key's signatures, or None if nobody can any more.

        Of the last `kept_signatures` that were right it is remembered that they are: the same bytes stay right.
        """
        self._ledger = ledger
        self._hmac_verifier = hmac_verifier
        self._ring = ring
        self._verifiers: dict[str, Verifier | None] = {}
        self._kept_signatures = kept_signatures
        self._right: set[bytes] = set()  # SHA-256 over key, signature and record

    def finding(self, row: Row) -> Finding | None:
        """Return what is wrong with an entry whose record is its leaf, or None."""
        if row.ip is not None and ":" in row.ip:
            row = row._replace(ip=canonical_ip(row.ip))
        reason = self._misfit(row)
        if reason is not None:
            return Finding(self._ledger, row.leaf_index, Verdict.TAMPERED, reason)
        if row.key_id is None:
            if row.signature is None:
                return None
            reason = "a signature lies beside a record that names no key"
            return Finding(self._ledger, row.leaf_index, Verdict.TAMPERED, reason)
        return self.signature_finding(row)

    def _misfit(self, row: Row) -> str | None:
        """Say which part of the row is not what its record says (a to c)."""
        if None in (row.occurred_at, row.recorded_at, row.outcome, row.severity, row.type, row.id, row.revision):
            return "columns differ from the record: one that is never empty is empty, or no time"
        before, after = _around_data(row, self._ledger)
        if not _frames(before, row.record, after):
            # U+0000 is the one thing that columns show otherwise, so a misfit is looked at member by member.
            misfits = _differing_members(row, self._ledger)
            if misfits:
                return f"columns differ from the record: {', '.join(misfits)}"
            row = _as_recorded(row)
            before, after = _around_data(row, self._ledger)
            if not _frames(before, row.record, after):
                return _NOT_OURS
        middle = row.record[len(before) : len(row.record) - len(after)]
        return _data_misfit(row, before, middle) if row.revision == 1 else _later_misfit(row, before, middle)

    def signature_finding(self, row: Signed) -> Finding | None:  # noqa: PLR0911 one return a reason
        """Return what is wrong with the signature of a row that names a key (d and e), or None."""
        key = self._ring.keys.get(row.key_id or "")
        if key is None:
            return self._report(row, Verdict.UNTRUSTED_KEY, f"no record of the keys ledger knows its key {row.key_id}")
        refusal = self._refusal(key, row)
        if refusal is not None:
            return self._report(row, Verdict.TAMPERED, refusal)
        if row.signature is None:
            return self._report(row, Verdict.TAMPERED, f"it must be signed by {key.id}, and its signature is gone")
        verify = self._verifier(key)
        if verify is None:
            reason = f"its HMAC key {key.id} was destroyed, and nobody else can verify HMAC"
            return self._report(row, Verdict.CANNOT_TELL, reason)
        if not self._is_right(verify, key, row.signature, row.record):
            return self._report(row, Verdict.TAMPERED, f"its signature is not that of {key.id} over its record")
        untrusted_from = key.windows[self._ledger].untrusted_from_leaf
        if untrusted_from is not None and row.leaf_index >= untrusted_from:
            reason = f"{key.id} was compromised, and from leaf {untrusted_from} on a thief could have signed"
            return self._report(row, Verdict.UNTRUSTED_KEY, reason)
        return None

    def _is_right(self, verify: Verifier, key: RingKey, signature: bytes, record: bytes) -> bool:
        known = b""
        if self._kept_signatures:
            known = sha256(b"%b %d %b %b" % (key.id.encode(), len(signature), signature, record)).digest()
            if known in self._right:
                return True
        right = verify(signature, jws.signing_input(jws.protected(key.algorithm, key.id), record))
        if right and known:
            if len(self._right) >= self._kept_signatures:
                self._right.clear()
            self._right.add(known)
        return right

    def _refusal(self, key: RingKey, row: Signed) -> str | None:
        window = key.windows.get(self._ledger)
        if key.purpose != ENTRY_PURPOSE or window is None:
            return f"its key {key.id} signs no entries here"
        return window.refusal(row.leaf_index)

    def _verifier(self, key: RingKey) -> Verifier | None:
        if key.id not in self._verifiers:
            algorithm = ALGORITHMS[key.algorithm]
            public = algorithm.outsiders_can_verify
            self._verifiers[key.id] = algorithm.load_public(key.public_key) if public else self._hmac_verifier(key)
        return self._verifiers[key.id]

    def _report(self, row: Signed, verdict: Verdict, reason: str) -> Finding:
        return Finding(self._ledger, row.leaf_index, verdict, reason)


def _around_data(row: Row, ledger: str) -> tuple[bytes, bytes]:
    """Return what must stand around the data in the record of such a row."""
    after = after_data(
        event_id=row.event_id,
        entry_id=row.id,
        ip=row.ip,
        kid=row.key_id,
        ledger=ledger,
        occurred_at=row.occurred_at or "",
        outcome=row.outcome,
        recorded_at=row.recorded_at or "",
        revision=row.revision,
        severity=row.severity,
        source=row.source,
        target=row.target,
        type_name=row.type,
    )
    return before_data(row.action, row.actor), after


def _frames(before: bytes, record: bytes, after: bytes) -> bool:
    return len(before) + len(after) <= len(record) and record.startswith(before) and record.endswith(after)


def _later_misfit(row: Row, before: bytes, middle: bytes) -> str | None:
    """Say what is wrong with what stands before and in the data of a further revision, or None (b and c)."""
    try:
        amendment, data = split_amendment(middle)
    except ValueError:
        return _NOT_OURS
    if amendment is None:
        return f"it is revision {row.revision}, and its record does not say what it supersedes"
    return _data_misfit(row, before, data)


def _data_misfit(row: Row, before: bytes, data: bytes) -> str | None:
    """Say what is wrong with the data of a record, given as it stands there, or None."""
    detached = _DETACHED.fullmatch(data)
    if detached:
        data = row.detached_data or b""
        if (sha256(data).hexdigest().encode(), len(data)) != (detached[1], int(detached[2])):
            return "the detached data is not what the record says"
    elif row.detached_data is not None:
        return "data lies beside a record that has its data inside"
    else:
        data = data.removeprefix(_DATA)
        if not _is_object(data):
            return _NOT_OURS
    said = orjson.dumps(
        (row.event_id, row.ip, row.occurred_at, row.outcome, row.severity, row.source, row.target, row.type)
    )
    if row.event_digest != claims_digest(before, data, said):
        return "columns differ from the record: event_digest"
    return None


def _is_object(data: bytes) -> bool:
    try:
        return data[:1] == b"{" and isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False


def _as_recorded(row: Row) -> Row:
    """Return the row with the texts of its record, where columns could not hold U+0000."""
    said = orjson.loads(row.record)
    return row._replace(**{name: said[name] for name in _TEXTS if isinstance(said.get(name), str)})


def _differing_members(row: Row, ledger: str) -> list[str]:
    """Return the members of a record that its columns show otherwise; U+0000 as U+2400 is no difference."""
    try:
        said = orjson.loads(row.record)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        return ["record"]
    columns = {
        "action": row.action,
        "actor": row.actor,
        "event_id": row.event_id,
        "id": row.id,
        "ip": row.ip,
        "kid": row.key_id,
        "ledger": ledger,
        "occurred_at": row.occurred_at,
        "outcome": row.outcome,
        "recorded_at": row.recorded_at,
        "revision": row.revision,
        "severity": row.severity,
        "source": row.source,
        "target": row.target,
        "type": row.type,
    }
    members = {name: shown(value) if isinstance(value, str) else value for name, value in said.items()}
    return [name for name, value in columns.items() if members.get(name) != value]
