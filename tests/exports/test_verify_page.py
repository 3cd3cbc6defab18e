"""`/verify/`: whatever the API hands out is taken back, from anybody, and judged in plain words."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, override_settings
from rest_framework.settings import api_settings

from activity import authority
from activity.event import Event
from activity.recording import Receipt
from activity.services import record
from exports.verifier.page import page
from tests.clusters import Database

VERIFY = "/verify/"
OFFLINE = "/verify/auditlog-verify.html"
LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "verify"}}
EVENT = Event("shop.order", "order", "ann", datetime(2026, 11, 23, 12, tzinfo=UTC), "shop", data={"total": 7})


@pytest.fixture
def receipt(fresh_database: Database) -> Iterator[Receipt]:
    with override_settings(CACHES=LOCAL):
        yield record(EVENT)
        from django.core.cache import cache  # noqa: PLC0415 the one of these settings

        cache.clear()


def answer(receipt: Receipt, path: str = "") -> str:
    _, key = authority.create_api_key(
        name="r", scopes=["logs:read"], ledger="activity", source="shop", by="ada", reason="x"
    )
    client = Client(headers={"Authorization": f"Api-Key {key}"})
    return client.get(f"/api/v1/logs/{receipt.id}{path}").content.decode()


def judged(**sent: Any) -> tuple[int, str]:
    response = Client().post(VERIFY, sent)
    return response.status_code, response.content.decode()


@pytest.mark.parametrize("path", ["", "?format=jws", "/proof"])
def test_what_the_api_gives_is_taken(receipt: Receipt, path: str) -> None:
    status, page = judged(text=answer(receipt, path))
    assert status == 200
    assert "Verdict: valid" in page


def test_a_receipt_and_a_checkpoint_are_taken(receipt: Receipt) -> None:
    said = receipt._asdict() | {"leaf_hash": receipt.leaf_hash.hex()}
    for text in (json.dumps(said), json.dumps({"receipts": [said]}), receipt.checkpoint):
        assert "Verdict: valid" in judged(text=text)[1]


def test_a_proof_file_is_uploaded_with_its_record(receipt: Receipt) -> None:
    file = SimpleUploadedFile("e.tlog-proof", answer(receipt, "/proof?format=tlog-proof").encode())
    page = judged(file=file, record=json.loads(answer(receipt))["record"])[1]
    assert "Verdict: valid" in page
    assert "The hashes tie leaf" in page


def test_a_changed_record_is_called_tampered(receipt: Receipt) -> None:
    entry = json.loads(answer(receipt))
    raw = base64.urlsafe_b64decode(entry["record"] + "==").replace(b'"ann"', b'"eve"')
    entry["record"] = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    assert "Verdict: tampered" in judged(text=json.dumps(entry))[1]


@pytest.mark.parametrize("text", ["", "nothing at all", "{broken", '{"a": 1}', "a.b.c", "[1]"])
def test_what_is_no_evidence_is_refused_with_a_reason(receipt: Receipt, text: str) -> None:
    status, page = judged(text=text)
    assert status == 400
    assert 'role="alert"' in page


def test_a_file_that_is_no_text_is_refused(receipt: Receipt) -> None:
    assert judged(file=SimpleUploadedFile("x", b"\xff\xfe\x00"))[0] == 400


def test_an_address_verifies_only_so_often(receipt: Receipt) -> None:
    rates = dict.fromkeys(api_settings.DEFAULT_THROTTLE_RATES, "2/min")
    with override_settings(REST_FRAMEWORK=dict(settings.REST_FRAMEWORK, DEFAULT_THROTTLE_RATES=rates)):
        statuses = [judged(text="x")[0] for _ in range(3)]
        response = Client().post(VERIFY, {"text": "x"})
    assert statuses == [400, 400, 429]
    assert int(response["Retry-After"]) > 0
    assert "Too many requests" in response.content.decode()


def test_the_offline_page_is_handed_out_as_a_file(client: Client, receipt: Receipt) -> None:
    assert OFFLINE in client.get(VERIFY).content.decode()
    answered = client.get(OFFLINE)
    assert answered["Content-Disposition"] == 'attachment; filename="auditlog-verify.html"'
    assert answered.content == page()
