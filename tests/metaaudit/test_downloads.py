"""Whoever takes an export along has seen the entries in it: his download says which, and is found and run again."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from activity import amending
from activity.models import ActivityLog
from activity.services import record, record_many
from auditlog_project.roles import COMPLIANCE_OFFICER
from exports import making, services
from metaaudit import replay as replaying
from metaaudit.models import MetaLog
from metaaudit.recording import recorded as recorded_job
from metaaudit.terminal import command_access
from signing.merkle import leaf_hash
from tests.metaaudit.conftest import EVENT, ORDERS, container, keyed, last, ordered, recorded

META = "/api/v1/meta-logs"


@pytest.fixture
def eva(place: Path) -> Client:
    """Give somebody who exports entries."""
    return keyed("eva", COMPLIANCE_OFFICER)


@pytest.fixture
def patients(eva: Client) -> list[str]:
    """Give the ids of entries about one patient, with others between them."""
    receipts = record_many(
        [replace(EVENT, target=f"patient/{4711 if number % 3 else 1}", event_id=f"{number}") for number in range(600)]
    )
    return [receipt.id for number, receipt in enumerate(receipts) if number % 3]


def taken() -> list[MetaLog]:
    return [one for one in recorded() if one.action == "download"]


def leaves(log: MetaLog) -> Any:
    return json.loads(bytes(log.record)).get("leaves")


def saw(rex: Client, target: str) -> list[tuple[str, str]]:
    found = rex.get(META, {"saw_target": target}).json()["meta_logs"]
    return [(one["user_name"], one["phase"]) for one in found]


def test_a_download_says_before_its_first_byte_which_entries_go_out(
    eva: Client, rex: Client, patients: list[str]
) -> None:
    export = ordered(eva, "csv", ledger="activity", target="patient/4711")
    assert saw(rex, "patient/4711") == [], "an order shows nothing yet"
    container(eva, export)
    intent, completion = taken()
    rows = ActivityLog.objects.filter(pk__in=patients).order_by("leaf_index")
    hashes = b"".join(leaf_hash(bytes(row.record)) for row in rows)
    for half in (intent, completion):
        assert (half.result_count, bytes(half.result_digest or b"")) == (400, sha256(hashes).digest())
        assert [leaf for low, high in leaves(half)["activity"] for leaf in range(low, high + 1)] == [
            row.leaf_index for row in rows
        ]
    assert saw(rex, "patient/4711") == [("eva", "completion"), ("eva", "intent")]
    assert saw(rex, "patient/1") == []
    assert "eva" in rex.get("/meta-logs/", {"saw_entry": patients[0]}).content.decode()


def test_it_is_run_again_and_shows_what_was_changed_since(eva: Client, rex: Client, patients: list[str]) -> None:
    container(eva, ordered(eva, "csv", ledger="activity", target="patient/4711"))
    log = taken()[0]
    again = rex.post(f"{META}/{log.pk}/replay").json()
    assert (again["matches"], again["found"]["count"]) == (True, 400)
    amending.amend(entry_id=UUID(patients[7]), changes={"actor": "x"}, by=User.objects.get(username="eva"), reason="r")
    again = rex.post(f"{META}/{log.pk}/replay").json()
    assert again["matches"] is True
    assert [one["entry"] for one in again["entries"] if one["change"] == "amended"] == [patients[7]]


def test_what_is_in_several_parts_is_noted_from_all_of_them(
    eva: Client, rex: Client, patients: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exports.services.FEW", 10)
    monkeypatch.setattr("exports.services.PART_LEAVES", 256)
    monkeypatch.setattr(making, "PART_LEAVES", 256)
    said = {"ledger": "activity", "formats": ["ndjson"], "purpose": "review"}
    answer = eva.post(ORDERS, said, content_type="application/json")
    services.work(export=UUID(answer.json()["id"]))
    b"".join(eva.get(f"{ORDERS}/{answer.json()['id']}/download"))
    (run,) = leaves(last())["activity"]
    assert run[0] == 0
    assert last().result_count == run[1] + 1 > 600
    assert rex.post(f"{META}/{last().pk}/replay").json()["matches"] is True


@pytest.mark.parametrize(("file", "count"), [("entries.csv", 400), ("manifest.json", None)])
def test_of_one_file_only_what_is_in_it_is_noted(
    eva: Client, rex: Client, patients: list[str], file: str, count: int | None
) -> None:
    export = ordered(eva, "csv", ledger="activity", target="patient/4711")
    b"".join(eva.get(f"{ORDERS}/{export.pk}/download", {"file": file}))
    assert [one.result_count for one in taken()] == [count, count]


def test_what_a_command_takes_is_noted(eva: Client, rex: Client, patients: list[str], place: Path) -> None:
    with recorded_job(command_access("export")):
        call_command(
            "export", "activity", "--as", "eva", "--purpose", "p", "--filter", "target=patient/1", "--to", str(place)
        )
    assert (last().action, last().phase, last().result_count) == ("export", "completion", 200)


def test_an_export_of_accesses_shows_no_entries(rex: Client, eva: Client) -> None:
    record(EVENT)
    eva.get("/api/v1/logs")
    container(rex, ordered(rex, "csv"))
    assert [one.result_count for one in taken()] == [None, None]


def test_what_is_too_much_to_be_looked_up_is_no_finding(
    eva: Client, rex: Client, patients: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    container(eva, ordered(eva, "csv", ledger="activity", target="patient/4711"))
    monkeypatch.setattr(replaying, "_MAX_LEAVES", 399)
    again = rex.post(f"{META}/{last().pk}/replay").json()
    assert (again["matches"], again["entries"]) == (None, [])
    assert again["reasons"] == ["400 entries were shown, and 399 are looked up at most; an export proves itself"]
    assert "400 entries were shown" in rex.post(f"/meta-logs/{taken()[0].pk}/replay/").content.decode()
