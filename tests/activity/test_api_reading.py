"""Systems and people read through the API: what they find, with which verdict, and what they are refused."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import Permission, User
from django.db import connections
from django.test import Client, override_settings

from activity import authority, search
from activity.event import Event
from activity.services import record, record_many, set_log_type
from signing import checkpoint, tlog_proof
from signing.merkle import leaf_hash, verify_inclusion
from signing.queries import jwks, ledger_named, note_keys
from signing.services import open_ledger
from tests.clusters import Database

LOGS = "/api/v1/logs"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = Event("shop.order", "order", "ann", NOON, "shop", target="o/1", ip="192.0.2.7", data={"total": 7})
DAY = {"occurred_from": "2026-11-23T00:00:00Z", "occurred_to": "2026-11-24T00:00:00Z"}


@pytest.fixture
def site(fresh_database: Database) -> Iterator[Database]:
    with override_settings(
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, SECURE_SSL_REDIRECT=False
    ):
        yield fresh_database


@pytest.fixture
def reader(site: Database) -> Client:
    return holder("activity")


def holder(ledger: str, *scopes: str) -> Client:
    _, key = authority.create_api_key(
        name=f"reader of {ledger}",
        scopes=[*scopes] or ["logs:read"],
        ledger=ledger,
        source="shop",
        by="ada",
        reason="x",
    )
    return Client(headers={"Authorization": f"Api-Key {key}"})


def found(client: Client, **query: Any) -> list[dict[str, Any]]:
    response = client.get(LOGS, query)
    assert response.status_code == 200, response.content
    entries: list[dict[str, Any]] = response.json()["entries"]
    return entries


def numbers(entries: list[dict[str, Any]]) -> list[int]:
    return [entry["data"]["number"] for entry in entries]


def refused(client: Client, **query: Any) -> list[dict[str, str]]:
    response = client.get(LOGS, query)
    assert (response.status_code, response.json()["code"]) == (400, "bad-query")
    faults: list[dict[str, str]] = response.json()["errors"]
    return faults


def orders(count: int) -> list[Event]:
    return [
        replace(EVENT, data={"number": number}, occurred_at=NOON + timedelta(minutes=number % 3))
        for number in range(count)
    ]


def test_an_entry_comes_with_its_verdict(reader: Client) -> None:
    receipt = record(EVENT)
    (entry,) = found(reader, type="shop.order")
    assert (entry["verdict"], entry["reasons"]) == ("valid", [])
    assert (entry["id"], entry["leaf_index"], entry["ledger"]) == (receipt.id, receipt.leaf_index, "activity")
    assert (entry["actor"], entry["ip"], entry["data"]) == ("ann", "192.0.2.7", {"total": 7})
    assert entry["occurred_at"] == "2026-11-23T12:00:00Z"


def test_an_entry_whose_type_needs_no_signature_says_so(reader: Client) -> None:
    set_log_type(
        pattern="shop.*", requires_signature=False, algorithm="Ed25519", description="", by="ada", reason="volume"
    )
    receipt = record(EVENT)
    (entry,) = found(reader, type="shop.order")
    assert (entry["verdict"], entry["kid"]) == ("unsigned", None)
    response = reader.get(f"{LOGS}/{receipt.id}", {"format": "jws"})
    assert (response.status_code, response.json()["code"]) == (404, "entry-unsigned")


def test_one_entry_is_checked_by_a_stranger(reader: Client) -> None:
    receipt = record(EVENT)
    entry = reader.get(f"{LOGS}/{receipt.id}").json()
    raw = base64.urlsafe_b64decode(entry["record"] + "==")
    assert leaf_hash(raw).hex() == entry["leaf_hash"] == receipt.leaf_hash.hex()
    response = reader.get(f"{LOGS}/{receipt.id}", {"format": "jws"})
    assert response["Content-Type"] == "application/jose"
    keys = {key["kid"]: jwt.PyJWK(key) for key in jwks()["keys"]}
    said = jwt.api_jws.decode(response.content.decode(), keys[entry["kid"]], algorithms=["EdDSA"])
    assert said == raw


def test_the_proof_ties_the_entry_to_a_signed_root(reader: Client) -> None:
    receipt = record(EVENT)
    record_many(orders(5))
    proof = reader.get(f"{LOGS}/{receipt.id}/proof").json()
    head = checkpoint.verify(proof["checkpoint"], note_keys(ledger_named("activity"))).checkpoint
    assert (head.size, head.root.hex()) == (proof["tree_size"], proof["root"])
    hashes = [bytes.fromhex(each) for each in proof["hashes"]]
    verify_inclusion(receipt.leaf_hash, proof["leaf_index"], head.size, hashes, head.root)
    text = reader.get(f"{LOGS}/{receipt.id}/proof", {"format": "tlog-proof"}).content.decode()
    assert tlog_proof.parse(text).index == receipt.leaf_index
    assert list(tlog_proof.parse(text).proof) == hashes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "shop.order"), ("actor", "ann"), ("action", "order"), ("target", "o/1"), ("outcome", "unknown"),
        ("severity", "info"), ("source", "shop"), ("ip", "192.0.2.7"), ("ledger", "activity"),
    ],
)  # fmt: skip
def test_a_filter_finds_its_entries_and_no_other(reader: Client, name: str, value: str) -> None:
    record(replace(EVENT, type="x.y", actor="x", action="x", target="x", outcome="denied", severity="debug", ip=None,
                   source="y"))  # fmt: skip
    receipt = record(EVENT)
    entries = found(reader, **{name: value}, **({"type": "shop.order"} if name == "ledger" else {}))
    assert receipt.id in [entry["id"] for entry in entries]
    assert {str(entry[name]) for entry in entries} == {value}


def test_an_event_id_and_a_leaf_lead_to_their_entry(reader: Client) -> None:
    record_many(orders(3))
    receipt = record(replace(EVENT, event_id="e-7"))
    assert [entry["id"] for entry in found(reader, event_id="e-7", source="shop")] == [receipt.id]
    assert [entry["id"] for entry in found(reader, leaf_index=receipt.leaf_index)] == [receipt.id]
    assert refused(reader, event_id="e-7")[0]["parameter"] == "event_id"


def test_what_has_no_index_is_found_within_a_time_range(reader: Client) -> None:
    set_log_type(
        pattern="shop.*", requires_signature=False, algorithm="Ed25519", description="", by="ada", reason="volume"
    )
    record(EVENT)
    receipt = record(replace(EVENT, type="auth.login"))
    (signed,) = found(reader, type="auth.login")
    day = {"recorded_from": signed["recorded_at"][:10] + "T00:00:00Z", "recorded_to": "2100-01-01T00:00:00Z"}
    assert [one["id"] for one in found(reader, kid=signed["kid"], source="shop", **day)] == [receipt.id]
    assert not found(reader, kid="entry-ed25519-other", **day)
    assert receipt.id in [one["id"] for one in found(reader, revision=1, locked="false", **day)]
    assert not found(reader, revision=2, **day)
    assert not found(reader, locked="true", **day)
    faults = refused(reader, kid="x", revision="1", locked="true")
    assert [fault["parameter"] for fault in faults] == ["kid", "revision", "locked"]
    assert refused(reader, locked="yes", **day)[0]["parameter"] == "locked"


def test_time_ranges_begin_inclusive_and_end_exclusive(reader: Client) -> None:
    record_many(orders(6))
    one_minute = {"occurred_from": "2026-11-23T12:01:00Z", "occurred_to": "2026-11-23T12:02:00Z"}
    assert sorted(numbers(found(reader, **one_minute))) == [1, 4]
    recorded = found(reader, type="shop.order")[0]["recorded_at"]
    assert found(reader, recorded_from=recorded, type="shop.order")
    assert all(entry["recorded_at"] < recorded for entry in found(reader, recorded_to=recorded))
    assert not found(reader, recorded_from="2100-01-01T00:00:00Z")


@pytest.mark.parametrize("order", ["id", "-id", "occurred_at", "-occurred_at"])
def test_pages_follow_one_another_without_gap_or_repeat(reader: Client, order: str) -> None:
    record_many(orders(10))
    whole = numbers(found(reader, order=order, type="shop.order"))
    assert sorted(whole) == list(range(10))
    paged: list[int] = []
    query: dict[str, Any] = {"order": order, "type": "shop.order", "limit": 3}
    while True:
        page = reader.get(LOGS, query).json()
        paged += numbers(page["entries"])
        record(replace(EVENT, type="other.type"))  # what is written meanwhile disturbs nobody
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert paged == whole


def test_data_is_searched_by_path_within_a_time_range(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    record(replace(EVENT, data={"user": {"roles": ["a", "admin"]}, "n": 7, "nul": "\0", "none": None}))
    record(replace(EVENT, data={"user": {"roles": ["admin"]}, "n": "7", "big": "x" * 70_000}))
    record_many(orders(20))
    assert len(found(reader, **{"data.user.roles.1": "admin"}, **DAY)) == 1
    assert len(found(reader, **{"data.user.roles.0": "admin", "data.n": "7"}, **DAY)) == 1
    assert len(found(reader, **{"data.n": "7"}, **DAY)) == 2
    assert len(found(reader, **{"data.none": "null"}, **DAY)) == 1
    assert not found(reader, **{"data.user": "x"}, **DAY)
    assert refused(reader, **{"data.n": "7"}) == refused(
        reader, **{"data.n": "7", "occurred_from": DAY["occurred_from"]}
    )
    monkeypatch.setattr(search, "SCANNED", 10)
    monkeypatch.setattr(search, "_SCAN", 5)
    first = reader.get(LOGS, {"data.n": "7", **DAY}).json()
    assert (first["entries"], first["scanned"]) == ([], 10)
    matches: list[Any] = []
    cursor = first["next"]
    while cursor:
        page = reader.get(LOGS, {"data.n": "7", **DAY, "cursor": cursor}).json()
        matches, cursor = matches + page["entries"], page["next"]
    assert len(matches) == 2


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"colour": "red"}, "colour"), ({"limit": "0"}, "limit"), ({"limit": "1001"}, "limit"),
        ({"order": "actor"}, "order"), ({"ip": "nowhere"}, "ip"), ({"outcome": "good"}, "outcome"),
        ({"occurred_from": "yesterday"}, "occurred_from"), ({"recorded_to": "2026-11-23"}, "recorded_to"),
        ({"cursor": "forged"}, "cursor"), ({"leaf_index": "-1"}, "leaf_index"), ({"actor": "a\0b"}, "actor"),
        ({"actor": ["a", "b"]}, "actor"), ({"actor": "x" * 501}, "actor"), ({"leaf_index": "9" * 30}, "leaf_index"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named(reader: Client, query: dict[str, Any], parameter: str) -> None:
    assert [fault["parameter"] for fault in refused(reader, **query)] == [parameter]


def test_every_wrong_parameter_is_named_at_once(reader: Client) -> None:
    assert {fault["parameter"] for fault in refused(reader, colour="red", limit="0", ip="x")} == {
        "colour",
        "limit",
        "ip",
    }


def test_a_cursor_is_good_for_its_query_alone(reader: Client) -> None:
    record_many(orders(3))
    cursor = reader.get(f"{LOGS}?type=shop.order&limit=1").json()["next"]
    assert found(reader, type="shop.order", limit=2, cursor=cursor)
    assert refused(reader, type="other", cursor=cursor)[0]["parameter"] == "cursor"
    assert refused(reader, type="shop.order", cursor=f"{cursor[:-2]}zz")[0]["parameter"] == "cursor"


def test_a_key_reads_its_own_ledger_alone(site: Database) -> None:
    open_ledger(name="tenant", by="ada", reason="new tenant")
    receipt = record(EVENT, ledger="tenant")
    tenant, other = holder("tenant"), holder("activity")
    assert [entry["id"] for entry in found(tenant)] == [receipt.id]
    assert receipt.id not in [entry["id"] for entry in found(other)]
    for address in (f"{LOGS}/{receipt.id}", f"{LOGS}/{receipt.id}/proof"):
        assert tenant.get(address).status_code == 200
        assert other.get(address).status_code == 404
    secret, nowhere = (other.get(LOGS, {"ledger": name}) for name in ("tenant", "nowhere"))
    assert secret.status_code == nowhere.status_code == 404
    assert secret.content.replace(b"tenant", b"nowhere") == nowhere.content


def test_a_key_that_writes_does_not_read(site: Database) -> None:
    receipt = record(EVENT)
    writer = holder("activity", "logs:write")
    assert writer.get(LOGS).status_code == writer.get(f"{LOGS}/{receipt.id}").status_code == 403
    assert writer.get("/api/v1/log-types").status_code == 200


def test_a_person_reads_what_is_granted_and_nothing_as_superuser(site: Database) -> None:
    open_ledger(name="tenant", by="ada", reason="new tenant")
    record(EVENT, ledger="tenant")
    record(EVENT)
    root = User.objects.create_superuser("root")
    ann = User.objects.create_user("ann")
    ann.user_permissions.add(Permission.objects.get(codename="view_activitylog"))
    authority.grant_ledger(ledger="tenant", to=ann, by="ada", reason="audit")
    client = Client()
    client.force_login(root)
    assert client.get(LOGS).status_code == 403
    client.force_login(ann)
    assert {entry["ledger"] for entry in found(client)} == {"tenant"}


def test_entries_of_several_ledgers_come_in_one_order(site: Database) -> None:
    open_ledger(name="tenant", by="ada", reason="new tenant")
    ann = User.objects.create_user("ann")
    ann.user_permissions.add(Permission.objects.get(codename="view_activitylog"))
    for name in ("tenant", "activity"):
        authority.grant_ledger(ledger=name, to=ann, by="ada", reason="audit")
    ids = [record(EVENT, ledger=name).id for name in ("tenant", "activity", "activity", "tenant", "tenant")]
    client = Client()
    client.force_login(ann)
    assert [entry["id"] for entry in found(client, type="shop.order")] == ids[::-1]
    first = client.get(LOGS, {"type": "shop.order", "limit": "2"}).json()
    rest = found(client, type="shop.order", limit=9, cursor=first["next"])
    assert [entry["id"] for entry in (*first["entries"], *rest)] == ids[::-1]


def tamper(site: Database, receipt_id: str) -> None:
    owner = site.superuser()
    owner.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    owner.execute("UPDATE activity_logs SET actor = 'eve' WHERE id = %s", (receipt_id,))


@pytest.mark.parametrize("policy", ["flag", "block"])
def test_a_tampered_entry_is_flagged_or_blocked(site: Database, reader: Client, policy: str) -> None:
    receipt = record(EVENT)
    (entry,) = found(reader, type="shop.order")
    assert entry["verdict"] == "valid"
    tamper(site, receipt.id)
    with override_settings(AUDITLOG_ON_TAMPERED=policy):
        (entry,) = found(reader, type="shop.order")
        answers = [reader.get(f"{LOGS}/{receipt.id}{more}") for more in ("", "?format=jws", "/proof")]
    assert (entry["verdict"], entry["reasons"]) == ("tampered", ["columns differ from the record: actor"])
    if policy == "flag":
        assert entry["actor"] == "eve"
        assert [answer.status_code for answer in answers] == [200, 200, 200]
    else:
        assert set(entry) == {"id", "ledger", "leaf_index", "verdict", "reasons"}
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(409, "entry-tampered")}


def test_an_entry_that_is_not_there_is_a_problem_document(reader: Client) -> None:
    response = reader.get(f"{LOGS}/00000000-0000-7000-8000-000000000000")
    assert (response.status_code, response.json()["code"]) == (404, "not-found")
    assert refused_format(reader)["parameter"] == "format"


def refused_format(reader: Client) -> dict[str, str]:
    fault: dict[str, str] = reader.get(f"{LOGS}/{record(EVENT).id}", {"format": "xml"}).json()["errors"][0]
    return fault


def test_the_log_types_are_listed(reader: Client) -> None:
    patterns = {one["pattern"]: one for one in reader.get("/api/v1/log-types").json()["log_types"]}
    assert patterns["auth.*"]["requires_signature"] is True
    assert not patterns["windows.sysmon.*"]["requires_signature"]


def test_a_page_costs_the_same_number_of_queries_at_any_size(
    reader: Client, django_assert_max_num_queries: Any
) -> None:
    record_many(orders(200))
    found(reader)
    with django_assert_max_num_queries(12, connection=connections["default"]):
        assert len(found(reader, limit=100)) == 100


def test_integers_and_texts_come_back_as_they_were_sent(reader: Client) -> None:
    data = {"big": 2**63, "exact": 2**53 + 1, "tenth": 0.1, "nul": "\0", "\U0001f511": -0.0}
    record(replace(EVENT, data=data))
    response = reader.get(LOGS, {"type": "shop.order"})
    assert json.loads(response.content)["entries"][0]["data"] == data
