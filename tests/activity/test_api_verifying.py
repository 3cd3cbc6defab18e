"""An outsider brings a JWS, a record, a receipt, a proof or a checkpoint, and learns whether the log holds it."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from django.test import Client, override_settings

from activity import queries
from activity.event import Event, event_from_json
from activity.models import ActivityLog
from activity.recording import Receipt
from activity.retrieval import prove
from activity.services import record, record_many
from signing import checkpoint, tlog_proof
from signing.models import SigningKey
from signing.queries import ledger_named
from signing.services import mark_compromised, rotate_key
from tests.clusters import Database

EVENT = Event("shop.order", "order", "ann", datetime(2026, 11, 23, 12, tzinfo=UTC), "shop", data={"total": 7})
UNSIGNED = replace(EVENT, type="windows.sysmon.1")
PIECES = ("jws", "record", "receipt", "proof", "tlog_proof", "checkpoint")


@pytest.fixture
def outsider(fresh_database: Database) -> Iterator[Client]:
    with override_settings(
        CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}, SECURE_SSL_REDIRECT=False
    ):
        yield Client()


def url64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def ask(client: Client, piece: object) -> dict[str, Any]:
    response = client.post("/api/v1/verify", orjson.dumps(piece), content_type="application/json")
    assert response.status_code == 200, response.content
    said: dict[str, Any] = response.json()
    return said


def piece_of(kind: str, receipt: Receipt) -> dict[str, Any]:
    """Return evidence of an entry as the API gives it out."""
    entry = ActivityLog.objects.select_related("ledger", "key").get(pk=receipt.id)
    raw, signature = bytes(entry.record), entry.signature
    proof = prove(entry)
    said: dict[str, dict[str, Any]] = {
        "jws": {"jws": queries.entry_as_jws(entry)},
        "record": {"record": url64(raw), "signature": None if signature is None else url64(bytes(signature))},
        "receipt": {
            "receipt": {**receipt._asdict(), "leaf_hash": receipt.leaf_hash.hex()},
        },
        "proof": {
            "proof": {
                "ledger": "activity",
                "leaf_index": entry.leaf_index,
                "leaf_hash": receipt.leaf_hash.hex(),
                "hashes": [one.hex() for one in proof.hashes],
                "checkpoint": proof.checkpoint,
            }
        },
        "tlog_proof": {
            "tlog_proof": tlog_proof.format(entry.leaf_index, proof.hashes, proof.checkpoint),
            "record": url64(raw),
        },
        "checkpoint": {"checkpoint": receipt.checkpoint},
    }
    return said[kind]


@pytest.mark.parametrize("kind", PIECES)
def test_what_the_log_gave_out_is_valid_then_and_later(outsider: Client, kind: str) -> None:
    piece = piece_of(kind, record(EVENT))
    assert ask(outsider, piece)["verdict"] == "valid"
    record_many([replace(EVENT, data={"number": number}) for number in range(300)])
    rotate_key(purpose="entry", algorithm="Ed25519", by="ada", reason="yearly")
    rotate_key(purpose="checkpoint", algorithm="Ed25519", by="ada", reason="yearly")
    record(EVENT)
    said = ask(outsider, piece)
    assert (said["verdict"], said["reasons"]) == ("valid", [])
    assert said["checked"]


def test_an_entry_without_signature_is_unsigned_and_in_its_place(outsider: Client) -> None:
    said = ask(outsider, piece_of("record", record(UNSIGNED)))
    assert (said["verdict"], said["reasons"], len(said["checked"])) == ("unsigned", [], 2)


def edited_record(piece: dict[str, Any]) -> dict[str, Any]:
    raw = base64.urlsafe_b64decode(piece["record"] + "==")
    return {**piece, "record": url64(raw.replace(b'"ann"', b'"eve"'))}


def edited_jws(piece: dict[str, Any]) -> dict[str, Any]:
    header, payload, signature = piece["jws"].split(".")
    raw = base64.urlsafe_b64decode(payload + "==").replace(b'"ann"', b'"eve"')
    return {"jws": f"{header}.{url64(raw)}.{signature}"}


def other_algorithm(piece: dict[str, Any]) -> dict[str, Any]:
    header, payload, signature = piece["jws"].split(".")
    raw = base64.urlsafe_b64decode(header + "==").replace(b'"EdDSA"', b'"HS256"')
    return {"jws": f"{url64(raw)}.{payload}.{signature}"}


def inside(kind: str, **changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda piece: {kind: {**piece[kind], **changes}}


def cut(piece: dict[str, Any]) -> dict[str, Any]:
    return {"proof": {**piece["proof"], "hashes": piece["proof"]["hashes"][1:]}}


def forged_note(piece: dict[str, Any]) -> dict[str, Any]:
    body, _, line = piece["checkpoint"].rpartition(" ")
    raw = bytearray(base64.b64decode(line))
    raw[-1] ^= 1
    return {"checkpoint": f"{body} {base64.b64encode(bytes(raw)).decode()}\n"}


@pytest.mark.parametrize(
    ("kind", "change", "verdict"),
    [
        ("jws", edited_jws, "tampered"),
        ("jws", other_algorithm, "tampered"),
        ("record", edited_record, "tampered"),
        ("record", lambda piece: {**piece, "signature": None}, "tampered"),
        ("record", lambda piece: {**piece, "signature": url64(bytes(64))}, "tampered"),
        ("receipt", inside("receipt", leaf_hash="00" * 32), "tampered"),
        ("receipt", inside("receipt", leaf_index=0), "tampered"),
        ("receipt", inside("receipt", leaf_index=10_000), "tampered"),
        ("receipt", inside("receipt", ledger="nowhere"), "missing"),
        ("receipt", inside("receipt", id="00000000-0000-7000-8000-000000000000"), "missing"),
        ("proof", inside("proof", leaf_hash="00" * 32), "tampered"),
        ("proof", cut, "tampered"),
        ("tlog_proof", edited_record, "tampered"),
        ("checkpoint", forged_note, "tampered"),
    ],
)
def test_what_was_changed_is_not_valid(
    outsider: Client, kind: str, change: Callable[[dict[str, Any]], dict[str, Any]], verdict: str
) -> None:
    piece = piece_of(kind, record(EVENT))
    assert ask(outsider, piece)["verdict"] == "valid"
    said = ask(outsider, change(piece))
    assert said["verdict"] == verdict
    assert said["reasons"]


@pytest.mark.parametrize("kind", ["jws", "record"])
def test_a_piece_convicts_a_log_that_changed_since(outsider: Client, fresh_database: Database, kind: str) -> None:
    receipt = record(EVENT)
    piece = piece_of(kind, receipt)
    assert ask(outsider, piece)["verdict"] == "valid"
    intruder = fresh_database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET record = record || ' ' WHERE id = %s", (receipt.id,))
    assert ask(outsider, piece)["verdict"] == "tampered"
    intruder.execute("DELETE FROM activity_logs WHERE id = %s", (receipt.id,))
    assert ask(outsider, piece)["verdict"] == "missing"
    assert ask(outsider, piece_of_receipt(receipt))["verdict"] == "missing"


def piece_of_receipt(receipt: Receipt) -> dict[str, Any]:
    return {"receipt": {**receipt._asdict(), "leaf_hash": receipt.leaf_hash.hex()}}


def test_a_receipt_shows_that_the_log_was_rolled_back(outsider: Client, fresh_database: Database) -> None:
    older = record(EVENT)
    assert older.checkpoint is not None
    newer = record(EVENT)
    assert ask(outsider, piece_of_receipt(newer))["verdict"] == "valid"
    intruder = fresh_database.superuser()
    intruder.execute("ALTER TABLE ledger_checkpoints DISABLE TRIGGER ALL")
    head = checkpoint.parse(older.checkpoint).checkpoint
    place = (ledger_named("activity").pk, head.size)
    intruder.execute("DELETE FROM ledger_checkpoints WHERE ledger_id = %s AND size >= %s", place)
    intruder.execute(
        "INSERT INTO ledger_checkpoints (ledger_id, size, root, note, key_ids) VALUES (%s, %s, %s, %s, '{}')",
        (*place, head.root, older.checkpoint),
    )
    said = ask(outsider, piece_of_receipt(newer))
    assert said["verdict"] == "tampered"
    assert "rolled back" in said["reasons"][0]


def test_a_stolen_keys_entry_is_untrusted(outsider: Client) -> None:
    piece = piece_of("jws", record(EVENT))
    key = SigningKey.objects.get(purpose="entry", algorithm="Ed25519", state="active")
    mark_compromised(key_id=key.id, trusted_until={}, by="ada", reason="stolen")
    assert ask(outsider, piece)["verdict"] == "untrusted_key"


def test_a_key_of_somebody_else_is_untrusted(outsider: Client) -> None:
    piece = piece_of("jws", record(EVENT))
    header, payload, signature = piece["jws"].split(".")
    raw = base64.urlsafe_b64decode(header + "==").replace(b'"kid":"entry', b'"kid":"other')
    assert ask(outsider, {"jws": f"{url64(raw)}.{payload}.{signature}"})["verdict"] == "untrusted_key"


def test_without_a_pinned_key_nothing_is_valid(outsider: Client) -> None:
    piece = piece_of("jws", record(EVENT))
    with override_settings(AUDITLOG_TRUST_FILE=""):
        assert ask(outsider, piece)["verdict"] == "cannot_tell"


@pytest.mark.parametrize(
    ("piece", "named"),
    [
        ([], "send a JSON object"), ({}, "send a JSON object"), ({"jws": "x", "receipt": {}}, "send a JSON object"),
        ({"jws": 7}, "jws must be a string"), ({"jws": "a.b"}, "three parts"), ({"receipt": []}, "must be an object"),
        ({"receipt": {"id": "x"}}, "lacks ledger"), ({"record": "*", "signature": None}, "base64url"),
        ({"record": "e30", "signature": None}, "names no id"), ({"checkpoint": "x"}, "no blank line"),
        ({"tlog_proof": "x", "record": "e30"}, "not a proof file"),
        ({"proof": {"ledger": "a", "leaf_index": -1, "leaf_hash": "", "hashes": [], "checkpoint": ""}}, "leaf_index"),
        ({"proof": {"ledger": "a", "leaf_index": 0, "leaf_hash": "x", "hashes": [], "checkpoint": ""}}, "leaf_hash"),
        ({"proof": {"ledger": "a", "leaf_index": 0, "leaf_hash": "", "hashes": 1, "checkpoint": ""}}, "hashes"),
    ],
)  # fmt: skip
def test_what_is_no_evidence_is_refused_and_says_why(outsider: Client, piece: object, named: str) -> None:
    response = outsider.post("/api/v1/verify", orjson.dumps(piece), content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (400, "bad-evidence")
    assert named in response.json()["detail"]


@pytest.mark.parametrize("ip", ["::ffff:192.0.2.1", "::1.2.3.4", "::102:304", "2001:db8::1", "::1", "192.0.2.1"])
def test_an_address_is_the_same_however_python_and_postgresql_write_it(outsider: Client, ip: str) -> None:
    event = event_from_json(
        {"type": "x.y", "action": "a", "actor": "a", "occurred_at": "2026-11-23T05:40:00Z", "source": "s", "ip": ip}
    )
    assert ask(outsider, piece_of("record", record(event)))["verdict"] == "valid"
