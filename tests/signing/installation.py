"""An installation as the tests of signing use it: events in, verification out, and a thief with a stolen key."""

import time
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.db import connections, transaction
from uuid_utils import uuid7

from activity.event import Event
from activity.models import ActivityLog
from activity.recording import Receipt
from activity.report import Report
from activity.services import record_many
from activity.verification import LedgerCheck
from signing import anchors, jws, trust
from signing import ledger as ledgers
from signing.algorithms import Signer
from signing.checkpoint import NoteKey
from signing.merkle import leaf_hash
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS
from signing.queries import ledger_named
from signing.verification import Trust, verify_keys
from tests.clusters import Database

BY = {"by": "tester", "reason": "a test"}


def event(number: int = 0, *, type_name: str = "test.event") -> Event:
    return Event(
        type=type_name, action="act", actor="ann", occurred_at=datetime(2026, 11, 23, tzinfo=UTC), source="test",
        data={"number": number},
    )  # fmt: skip


def record(count: int = 1, *, type_name: str = "test.event") -> list[Receipt]:
    """Record events one transaction each, as writers do."""
    return [record_many([event(number, type_name=type_name)])[0] for number in range(count)]


def active_key(purpose: str = "entry", algorithm: str = "Ed25519") -> SigningKey:
    return SigningKey.objects.get(purpose=purpose, algorithm=algorithm, state="active")


def anchor_all() -> None:
    """Anchor every ledger where it stands."""
    for ledger in Ledger.objects.all():
        ledgers.sign_checkpoint(ledger, force_anchor=True)


def pinned() -> list[NoteKey]:
    return trust.parse(Path(settings.AUDITLOG_TRUST_FILE).read_text(encoding="utf-8"))


def trusted(pins: Sequence[NoteKey] | None = None) -> Trust:
    """Verify the keys ledger with the pins of the trust file, unless others are given."""
    return verify_keys(pinned() if pins is None else pins, anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR)))


def verify(ledger: str = "activity", pins: Sequence[NoteKey] | None = None) -> Report:
    """Verify a ledger and the keys, as `manage.py verify` does; the findings of both are in the report."""
    base = trusted(pins)
    check = LedgerCheck(
        ledger_named(ledger), base, anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR)), last=None
    )  # fmt: skip
    for _ in check.run():
        pass
    check.report.add(base.findings)
    return check.report


def findings(report: Report) -> list[str]:
    return [str(finding) for finding in report.findings]


def stolen_half(key: SigningKey) -> Signer:
    """Return the signer of a key as a thief keeps it, whatever becomes of the key."""
    return PROVIDERS[key.provider].signer(key)


def forge(key: SigningKey, sign: Signer, *, recorded_at: datetime | None = None) -> int:
    """Append an entry that the thief signed, through a taken-over application, and return its leaf."""
    ledger = ledger_named("activity")
    entry = ActivityLog.objects.filter(ledger=ledger, key__isnull=False).order_by("leaf_index").last()
    assert entry is not None
    recorded_at = recorded_at or datetime.now(UTC)
    said: dict[str, Any] = orjson.loads(bytes(entry.record))
    said |= {"id": str(uuid7()), "kid": key.id, "recorded_at": recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    raw = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    entry.id, entry.recorded_at, entry.record, entry.key = said["id"], recorded_at, raw, key
    entry.signature = sign(jws.signing_input(jws.protected(key.algorithm, key.id), raw))
    entry._state.adding = True
    with transaction.atomic():
        appended = ledgers.append(ledger, [leaf_hash(raw)])
        assert appended is not None
        entry.leaf_index = appended.first_leaf
        entry.save()
    ledgers.sign_checkpoint(ledger)
    return appended.first_leaf


def in_thread(work: Any) -> Any:
    """Wrap work for a thread: its own connections are closed when it ends."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    return run


@contextmanager
def unguarded(database: Database, table: str) -> Any:
    """Give a superuser's connection while the guards of a table are off: whoever owns the database can do that."""
    connection = database.superuser()
    connection.execute(f"ALTER TABLE public.{table} DISABLE TRIGGER USER")
    yield connection
    connection.execute(f"ALTER TABLE public.{table} ENABLE TRIGGER USER")


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
