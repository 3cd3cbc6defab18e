"""Every request leaves exactly the records that the rules say, and without them nothing leaves."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import Client, override_settings
from django.urls import path

from activity.models import ActivityLog, LogType
from activity.retrieval import check_entries
from activity.services import record, record_many
from auditlog_project.roles import AUDITOR, COMPLIANCE_OFFICER, SECURITY_ADMIN
from auditlog_project.urls import handler400, handler404, handler500  # noqa: F401 for the URLs of this module
from auditlog_project.urls import urlpatterns as project_urls
from locking import overriding
from locking import services as locks
from metaaudit import counts, services
from metaaudit.errors import NotRecordedError
from metaaudit.models import MetaLog
from metaaudit.rules import UNWATCHED
from signing.merkle import leaf_hash
from tests.clusters import Database
from tests.locking.people import approver
from tests.metaaudit.conftest import EVENT, LOGS, key_holder, last, recorded, signed_in, steps

CHANGES = {"algorithm": "Ed25519", "description": "loud", "reason": "too many"}


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError(request.path)


def rolled_back(request: HttpRequest) -> HttpResponse:
    LogType.objects.filter(pk="auth.*").delete()
    transaction.set_rollback(True)
    return HttpResponse("done, it says")


def stream(request: HttpRequest) -> HttpResponseBase:
    def content() -> Any:
        for entry in ActivityLog.objects.filter(type="shop.order").order_by("id"):
            (checked,) = check_entries([entry])
            yield checked.entry.actor.encode()

    return StreamingHttpResponse(content())


def file(request: HttpRequest) -> HttpResponseBase:
    return FileResponse(io.BytesIO(b"x" * 100_000), as_attachment=True, filename="x.bin")


def gone(request: HttpRequest, token: str) -> HttpResponse:
    return HttpResponse(token)


urlpatterns = [
    *project_urls,
    path("broken", broken),
    path("rolled-back", rolled_back),
    path("stream", stream),
    path("file", file),
    path("gone/<token>/", gone),
]
ALSO = override_settings(ROOT_URLCONF=__name__)


def refuse(monkeypatch: pytest.MonkeyPatch, *, after: int = 0) -> None:
    """Let recording fail, `after` so many records that are made."""
    whole, made = services.record, []

    def fail(**kwargs: Any) -> Any:
        made.append(1)
        if len(made) > after:
            raise NotRecordedError("the disk is full")
        return whole(**kwargs)

    monkeypatch.setattr(services, "record", fail)


def test_a_search_is_one_record_with_everything_in_it(ada: Client) -> None:
    record_many([EVENT] * 3)
    user = User.objects.get(username="ada")
    answer = ada.get(
        LOGS,
        {"type": "shop.order", "limit": "2", "order": "id"},
        headers={"User-Agent": "curl/8", "X-Request-ID": "order-4711"},
    )
    (one,) = recorded()
    entries = ActivityLog.objects.filter(type="shop.order").order_by("id")[:2]
    assert (one.user_id, one.user_name, one.auth) == (f"user:{user.pk}", "ada", "session")
    session = ada.session.session_key
    assert session is not None
    assert one.auth_id == sha256(session.encode()).hexdigest()[:16]
    assert (one.action, one.phase, one.method, one.path, one.route) == ("search", "access", "GET", LOGS, "api/v1/logs")
    assert one.query == [["type", "shop.order"], ["limit", "2"], ["order", "id"]]
    assert (one.status, one.result_count, one.bytes) == (200, 2, len(answer.content))
    hashes = [leaf_hash(bytes(entry.record)) for entry in entries]
    assert bytes(one.result_digest or b"") == sha256(b"".join(hashes)).digest()
    assert one.sizes == {"activity": ActivityLog.objects.count()}
    assert (one.ip, one.agent, one.request_id) == ("127.0.0.1", "curl/8", "order-4711")
    assert json.loads(bytes(one.record))["leaves"] == {"activity": [[entries[0].leaf_index, entries[1].leaf_index]]}


@pytest.mark.parametrize(("query", "action"), [({}, "list"), ({"limit": "5"}, "list"), ({"actor": "ann"}, "search")])
def test_a_list_with_a_filter_is_a_search(ada: Client, query: dict[str, str], action: str) -> None:
    ada.get(LOGS, query)
    assert last().action == action


def test_an_entry_its_proof_and_its_page_are_recorded_with_the_entry(ada: Client) -> None:
    receipt = record(EVENT)
    for address, action in [
        (f"{LOGS}/{receipt.id}", "retrieve"),
        (f"{LOGS}/{receipt.id}/proof", "proof"),
        (f"/logs/{receipt.id}/", "retrieve"),
    ]:
        assert ada.get(address).status_code == 200
        assert (last().action, last().result_count, last().status) == (action, 1, 200)
        assert bytes(last().result_digest or b"") == sha256(receipt.leaf_hash).digest()


def test_an_api_key_is_who_asks(site: Database) -> None:
    reader, prefix = key_holder("logs:read")
    reader.get(LOGS)
    assert (last().user_id, last().user_name, last().auth, last().auth_id) == (
        f"api-key:{prefix}",
        "shop",
        "api-key",
        prefix,
    )


@pytest.mark.parametrize("method", ["head", "options"])
def test_head_and_options_are_recorded_too(ada: Client, method: str) -> None:
    getattr(ada, method)(LOGS)
    assert (last().method, last().phase, len(recorded())) == (method.upper(), "access", 1)


def test_head_shows_no_byte_and_is_recorded_as_what_it_asked(ada: Client) -> None:
    record(EVENT)
    ada.head(LOGS, {"type": "shop.order"})
    assert (last().bytes, last().result_count) == (0, 1)


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("get", f"{LOGS}/00000000-0000-7000-8000-000000000000", 404),
        ("get", f"{LOGS}?kolor=red", 400),
        ("get", "/api/v1/nothing", 404),
        ("get", "/nothing/at/all/", 404),
        ("get", "/admin/auth/user/", 302),
        ("delete", "/api/v1/log-types", 405),
    ],
)
def test_what_is_refused_is_recorded(ada: Client, method: str, address: str, status: int) -> None:
    answer = getattr(ada, method)(address)
    assert answer.status_code == status
    assert last().status == status
    assert len(recorded()) == (2 if method == "delete" else 1)


def test_a_refused_change_is_an_intent_that_ended_badly(site: Database) -> None:
    client = signed_in("bob", AUDITOR, is_staff=True)
    answer = client.post("/admin/activity/logtype/auth.*/change/".replace("*", "_2A"), CHANGES)
    assert answer.status_code == 403
    assert steps() == [("config_change", "intent", None), ("config_change", "completion", 403)]


def test_refused_ingest_is_recorded_and_successful_ingest_is_counted(site: Database) -> None:
    writer, prefix = key_holder("logs:write")
    event = {"type": "shop.order", "action": "a", "actor": "b", "occurred_at": "2026-11-23T05:40:00Z"}
    assert writer.post(LOGS, json.dumps(event), content_type="application/json").status_code == 201
    assert (recorded(), counts._waiting["ingest"]) == ([], 1)
    assert writer.post(LOGS, "{}", content_type="application/json").status_code == 400
    assert [(one.action, one.status, one.user_id) for one in recorded()] == [
        ("ingest_denied", 400, f"api-key:{prefix}")
    ]


@pytest.mark.parametrize(
    ("address", "name"),
    [("/.well-known/jwks.json", "jwks"), ("/ledgers/activity/checkpoint", "checkpoint")],
)
def test_what_strangers_mirror_is_counted(ada: Client, address: str, name: str) -> None:
    for client in (ada, Client()):
        assert client.get(address).status_code == 200
    assert (recorded(), counts._waiting[name]) == ([], 2)


@pytest.mark.parametrize("address", ["/healthz", "/static/admin/css/base.css"])
def test_health_and_files_are_none_of_ours(ada: Client, address: str) -> None:
    answer = ada.get(address)
    assert answer.status_code == 200
    if answer.streaming:
        b"".join(answer)
    assert (recorded(), dict(counts._waiting)) == ([], {})
    assert {"healthz", "readyz"} == UNWATCHED


def test_a_file_that_is_not_there_is_asked_for_by_somebody(ada: Client) -> None:
    assert ada.get("/static/nothing.css").status_code == 404
    assert last().path == "/static/nothing.css"


@pytest.mark.parametrize(
    ("address", "status"),
    [(LOGS, 401), ("/logs/", 302), ("/api/v1/nothing", 404), ("/login/", 200), ("/admin/", 302)],
)
def test_strangers_are_counted_by_status_and_address(site: Database, address: str, status: int) -> None:
    assert Client().get(address, REMOTE_ADDR="192.0.2.9").status_code == status
    assert recorded() == []
    assert counts._waiting == {f"strangers-{status}:192.0.2.9": 1}


def test_a_wrong_api_key_is_a_strangers(site: Database) -> None:
    client = Client(headers={"Authorization": "Api-Key abc.def"})
    assert client.post(f"{LOGS}/bulk", b"{}", content_type="application/x-ndjson").status_code == 401
    assert client.patch(f"{LOGS}/00000000-0000-7000-8000-000000000000", "{}").status_code == 401
    assert recorded() == []


def test_evidence_that_strangers_bring_is_recorded_without_its_content(site: Database) -> None:
    receipt = record(EVENT)
    content = {"checkpoint": receipt.checkpoint}
    answer = Client().post("/api/v1/verify", json.dumps(content), content_type="application/json")
    assert answer.status_code == 200
    (one,) = recorded()
    assert (one.action, one.user_id, one.auth, one.result_count) == ("verify", "anonymous", "none", None)
    assert Client().post("/verify/", {"text": "secret " * 200}).status_code == 400
    assert last().action == "verify"
    assert "secret" not in str(last().query)
    assert ["form.text", f"sha256:{sha256(b'secret ' * 200).hexdigest()} (1400 bytes)"] in last().query


def test_signing_in_and_failing_to_are_recorded(site: Database) -> None:
    User.objects.create_user("ada", password="analytical engine")
    client = Client()
    for address, name, password in [
        ("/login/", "ada", "wrong"),
        ("/login/", "my password by mistake", "x"),
        ("/admin/login/", "ada", "wrong"),
        ("/login/", "ada", "analytical engine"),
    ]:
        client.post(address, {"username": name, "password": password})
    assert steps() == [("login_failed", "access", 200)] * 3 + [("login", "access", 302)]
    names = [dict(map(tuple, one.query))["form.username"] for one in recorded()]
    assert names == ["ada", "[redacted]", "ada", "ada"]
    assert {dict(map(tuple, one.query))["form.password"] for one in recorded()} == {"[redacted]"}
    assert (recorded()[-1].user_name, recorded()[-1].auth) == ("ada", "session")
    client.post("/logout/")
    assert [(one.action, one.phase, one.user_name) for one in recorded()[-2:]] == [
        ("logout", "intent", "ada"),
        ("logout", "completion", "ada"),
    ]


def test_a_change_is_recorded_before_and_after(site: Database) -> None:
    client = signed_in("eve", SECURITY_ADMIN, is_staff=True)
    assert client.post("/admin/activity/logtype/auth._2A/change/", CHANGES).status_code == 302
    intent, end = recorded()
    assert (intent.phase, end.phase, end.completes) == ("intent", "completion", intent.pk)
    assert (intent.action, intent.status, end.status) == ("config_change", None, 302)
    assert ["form.reason", "too many"] in intent.query
    assert intent.query == end.query


def test_an_amendment_is_named_as_one(site: Database) -> None:
    receipt = record(EVENT)
    client = signed_in("cora", COMPLIANCE_OFFICER)
    body = json.dumps({"reason": "typo", "changes": {"actor": "bob"}})
    answer = client.patch(f"{LOGS}/{receipt.id}", body, content_type="application/json")
    assert [(one.action, one.phase) for one in recorded()] == [("amend", "intent"), ("amend", "completion")]
    assert last().status == answer.status_code == 200
    assert ["json.reason", "typo"] in last().query
    assert "bob" not in str(last().query), "what an entry says belongs to the entry, which can be erased"


@pytest.mark.parametrize("method", ["patch", "delete"])
def test_a_change_under_an_override_is_named_as_its_use(site: Database, method: str) -> None:
    receipt = record(EVENT)
    client = signed_in("cora", COMPLIANCE_OFFICER)
    cora = User.objects.get(username="cora")
    locks.lock(ledger=receipt.ledger, scope={"entries": [receipt.id]}, kind="governance", reason="r", by=cora)
    body = json.dumps(
        {"reason": "typo", "changes": {"actor": "bob"}} if method == "patch" else {"reason": "r", "rule": "r"}
    )
    before = "amend" if method == "patch" else "remove"

    def change() -> int:
        answer = getattr(client, method)(f"{LOGS}/{receipt.id}", body, content_type="application/json")
        assert [one.phase for one in recorded()[-2:]] == ["intent", "completion"]
        return int(answer.status_code)

    assert (change(), [one.action for one in recorded()[-2:]]) == (423, [before, before])
    asked = overriding.request_override(entries=[UUID(receipt.id)], hours=1, by=cora, reason="r")
    overriding.decide_override(override_id=asked.pk, approve=True, by=approver(), reason="r")
    assert (change(), [one.action for one in recorded()[-2:]]) == (200, ["override_use", "override_use"])
    overriding.close_override(override_id=asked.pk, by=cora)
    assert change() == 400  # it says so already
    assert last().action == before


@ALSO
def test_a_rollback_takes_no_record_away(ada: Client) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    try:
        assert ada.post("/rolled-back").content == b"done, it says"
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    assert LogType.objects.filter(pk="auth.*").exists()
    assert steps() == [("change", "intent", None), ("change", "completion", 200)]


@ALSO
@pytest.mark.parametrize(("method", "expected"), [("get", ["access"]), ("post", ["intent", "completion"])])
def test_a_view_that_fails_is_recorded(ada: Client, method: str, expected: list[str]) -> None:
    assert getattr(ada, method)("/broken").status_code == 500
    assert [one.phase for one in recorded()] == expected
    assert last().status == 500


@ALSO
def test_a_stream_is_recorded_before_its_first_byte_and_after_its_last(ada: Client) -> None:
    receipts = record_many([EVENT] * 3)
    answer = ada.get("/stream")
    assert [(one.phase, one.bytes) for one in recorded()] == [("intent", None)]
    assert b"".join(answer) == b"ann" * 3
    intent, end = recorded()
    assert (end.completes, end.bytes, end.result_count) == (intent.pk, 9, 3)
    hashes = b"".join(receipt.leaf_hash for receipt in receipts)
    assert bytes(end.result_digest or b"") == sha256(hashes).digest()


@ALSO
def test_a_stream_that_breaks_off_is_recorded_with_what_went_out(ada: Client) -> None:
    record_many([EVENT] * 3)
    answer = ada.get("/stream")
    chunks = iter(answer)
    assert next(chunks) == b"ann"
    answer.close()
    answer.close()
    assert [(one.phase, one.bytes, one.result_count) for one in recorded()] == [
        ("intent", None, None),
        ("completion", 3, 1),
    ]


@ALSO
def test_a_download_says_how_many_bytes_went_out(ada: Client) -> None:
    answer = ada.get("/file")
    assert getattr(answer, "file_to_stream", None) is None, "a server that sent it by itself would count nothing"
    assert len(b"".join(answer)) == 100_000
    assert (last().phase, last().bytes) == ("completion", 100_000)


@ALSO
def test_a_token_in_an_address_is_not_recorded(ada: Client) -> None:
    assert ada.get("/gone/hush-hush/", {"api_key": "hush", "q": "hash"}).status_code == 200
    assert (last().path, last().query) == ("/gone/[redacted]/", [["api_key", "[redacted]"], ["q", "hash"]])


def test_what_cannot_be_recorded_is_not_shown(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = record(EVENT)
    refuse(monkeypatch)
    for address in (LOGS, f"{LOGS}/{receipt.id}", f"/logs/{receipt.id}/", "/api/v1/nothing", "/logs/"):
        answer = ada.get(address)
        assert (answer.status_code, answer.json()["code"]) == (503, "not-recorded")
        assert b"ann" not in answer.content
    assert recorded() == []


@ALSO
def test_no_byte_of_a_stream_leaves_without_a_record(ada: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    for address in ("/stream", "/file"):
        answer = ada.get(address)
        assert (answer.status_code, answer.streaming) == (503, False)


def test_what_cannot_be_recorded_is_not_done(site: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    client = signed_in("eve", SECURITY_ADMIN, is_staff=True)
    refuse(monkeypatch)
    assert client.post("/admin/activity/logtype/auth._2A/change/", CHANGES).status_code == 503
    assert LogType.objects.get(pk="auth.*").description != "loud"


def test_a_change_whose_end_cannot_be_recorded_is_not_confirmed(
    site: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in("eve", SECURITY_ADMIN, is_staff=True)
    refuse(monkeypatch, after=1)
    assert client.post("/admin/activity/logtype/auth._2A/change/", CHANGES).status_code == 503
    assert steps() == [("config_change", "intent", None)], "the intent tells that it was tried"


def test_a_database_that_refuses_the_row_withholds_the_answer(ada: Client, site: Database) -> None:
    site.owner().execute("ALTER TABLE meta_logs ADD CONSTRAINT none CHECK (user_name <> 'ada') NOT VALID")
    assert ada.get(LOGS).status_code == 503
    assert not MetaLog.objects.exists()


@pytest.mark.parametrize("query", ["q=" + "x" * 8_200, "a=1&" * 3_000], ids=["value", "pairs"])
def test_an_endless_query_is_refused_before_anybody_asks_who_it_is(ada: Client, query: str) -> None:
    answer = ada.get(f"{LOGS}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (414, "too-long")
    assert (recorded(), counts._waiting) == ([], {"strangers-414:127.0.0.1": 1})


def test_a_query_with_more_parameters_than_django_takes_is_recorded_without(ada: Client) -> None:
    assert ada.get("/logs/?" + "a&" * 1_100).status_code == 400
    assert (last().status, last().query) == (400, [])


def test_what_is_no_text_is_recorded_as_the_view_sees_it(ada: Client) -> None:
    ada.get(f"{LOGS}?actor=%ff%00a&actor=b&actor=b")
    assert last().query == [["actor", "\ufffd\u2400a"], ["actor", "b"], ["actor", "b"]]
    assert json.loads(bytes(last().record))["query"][0] == ["actor", "\ufffd\0a"]
