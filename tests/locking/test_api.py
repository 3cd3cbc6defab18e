"""`/api/v1/locks`: people lock, extend, ask for a release and give it; what is locked answers 423 with its lock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from activity import authority
from activity.models import ApiKey
from auditlog_project.roles import AUDITOR
from locking import policies
from locking.models import LogLock
from signing.services import open_ledger
from tests.clusters import Database
from tests.locking.people import person
from tests.locking.test_policies import policy
from tests.locking.test_services import Scene, steps
from tests.signing.installation import BY

LATER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)


class Api:
    """The scene, and what its people may ask."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.officer = self.of(scene.officer)
        self.approver = self.of(scene.approver)

    def of(self, user: User) -> APIClient:
        client = APIClient()
        client.force_login(user)
        return client

    def lock(self, **changes: Any) -> Any:
        order = {"ledger": "activity", "scope": {"type": "auth.*"}, "kind": "governance", "reason": "audit"} | changes
        return self.officer.post("/api/v1/locks", order, format="json")

    def release(self, client: APIClient, lock_id: int, **said: str) -> Any:
        return client.post(f"/api/v1/locks/{lock_id}/release", said, format="json")


@pytest.fixture
def api(fresh_database: Database, broker: str) -> Api:
    return Api(Scene(fresh_database))


def test_a_lock_of_a_filter_is_in_force_in_the_answer(api: Api) -> None:
    answer = api.lock(case="C-7", until=LATER.isoformat())
    assert answer.status_code == 201, answer.content
    said = answer.json()
    assert (said["state"], said["entries"], said["case"], said["locked_by"]) == ("in_force", 10, "C-7", "olga")
    assert said == api.approver.get(f"/api/v1/locks/{said['id']}").json()
    assert LogLock.objects.get(pk=said["id"]).until == LATER


def test_a_large_lock_answers_while_it_is_being_applied(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locking.services.CHUNK", 1)
    answer = api.lock()
    assert (answer.status_code, answer.json()["state"], answer.json()["ledger_root"]) == (202, "applying", None)


def test_an_entry_names_the_locks_that_hold_it_its_deadline_and_the_overrides_of_its_versions(api: Api) -> None:
    (entry,) = api.scene.ids(2)
    address = f"/api/v1/logs/{entry}"
    free = api.officer.get(address).json()
    assert (free["locked"], free["locks"], free["locks_at"]) == (False, [], None)
    locks = [api.lock(scope={"entries": [entry]}, kind=kind).json()["id"] for kind in ("hold", "governance")]
    policy(api.scene, {"kind": "age", "days": 9})
    policies.run_all()
    override = api.scene.override(2, lifts_holds=True)
    api.scene.approve(override)
    api.scene.amend(2)
    held = api.officer.get(address).json()
    due = api.scene.entry(2).recorded_at + timedelta(days=9)
    assert (held["locked"], held["locks"], datetime.fromisoformat(held["locks_at"])) == (True, locks, due)
    assert [one["override"] for one in held["revisions"]] == [override.pk]


def test_a_locked_entry_is_423_with_entry_lock_and_reason(api: Api) -> None:
    (entry,) = api.scene.ids(2)
    lock = api.lock(scope={"entries": [entry]}, kind="hold").json()["id"]
    change = {"reason": "r", "changes": {"actor": "eve"}}
    for answer in (
        api.officer.patch(f"/api/v1/logs/{entry}", change, format="json"),
        api.officer.delete(f"/api/v1/logs/{entry}", {"reason": "r", "rule": "90 days"}, format="json"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (423, "entry_locked")
        assert answer.json()["errors"] == [{"entry": entry, "locks": [lock], "reason": "legal hold"}]
    assert api.scene.entry(2).revision == 1


def test_a_release_takes_two_people(api: Api) -> None:
    lock = api.lock().json()["id"]
    assert api.release(api.approver, lock).status_code == 403  # nobody asked
    assert api.release(api.officer, lock).json()["detail"] == "it needs a reason, in plain text"
    asked = api.release(api.officer, lock, reason="over")
    assert (asked.status_code, asked.json()["state"], asked.json()["release_requested_by"]) == (202, "in_force", "olga")
    assert api.release(api.officer, lock, reason="over").status_code == 403  # whoever asked does not give
    given = api.release(api.approver, lock)
    assert (given.status_code, given.json()["state"], given.json()["released_by"]) == (200, "released", "anton")
    assert not api.scene.entry(2).locked
    assert api.release(api.approver, lock).status_code == 409
    assert steps(LogLock.objects.get(pk=lock))[-2:] == ["lock.release-requested", "lock.released"]


def test_somebody_with_both_rights_does_not_give_what_he_asked_for(api: Api) -> None:
    lock = api.lock().json()["id"]
    api.scene.officer.groups.add(*api.scene.approver.groups.all())
    assert api.release(api.officer, lock, reason="over").status_code == 202
    answer = api.release(api.officer, lock, reason="over")
    assert (answer.status_code, answer.json()["code"]) == (409, "lock-refused")
    assert "two people" in answer.json()["detail"]


def test_a_large_extension_answers_while_it_is_under_way(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = api.lock(until=LATER.isoformat()).json()["id"]
    monkeypatch.setattr("locking.services.CHUNK", 1)
    body = {"until": None, "reason": "longer"}
    answer = api.officer.post(f"/api/v1/locks/{lock}/extend", body, format="json")
    assert (answer.status_code, answer.json()["being_extended"]) == (202, True)


def test_compliance_is_never_released(api: Api) -> None:
    lock = api.lock(kind="compliance").json()["id"]
    answer = api.release(api.officer, lock, reason="over")
    assert (answer.status_code, answer.json()["code"]) == (409, "lock-refused")
    assert "never released" in answer.json()["detail"]


def test_a_retention_is_extended_and_never_shortened(api: Api) -> None:
    lock = api.lock(until=LATER.isoformat()).json()["id"]

    def extend(until: datetime | None) -> Any:
        body = {"until": until and until.isoformat(), "reason": "longer"}
        return api.officer.post(f"/api/v1/locks/{lock}/extend", body, format="json")

    assert extend(LATER - timedelta(days=1)).status_code == 409
    assert datetime.fromisoformat(extend(LATER + timedelta(days=1)).json()["until"]) == LATER + timedelta(days=1)
    assert extend(None).json()["until"] is None
    answer = extend(None)
    assert (answer.status_code, "for good" in answer.json()["detail"]) == (409, True)


def test_the_list_is_filtered_and_paged(api: Api) -> None:
    made = [api.lock(kind=kind, case=case).json()["id"] for kind in ("hold", "governance") for case in ("a", "b")]

    def listed(query: str) -> list[int]:
        found = api.officer.get(f"/api/v1/locks?{query}").json()
        return [one["id"] for one in found["locks"]]

    assert listed("") == made[::-1]
    assert listed("kind=hold") == made[1::-1]
    assert listed("case=a&ledger=activity") == made[2::-2]
    assert listed("state=released") == []
    first = api.officer.get("/api/v1/locks?limit=3").json()
    assert (len(first["locks"]), first["next"]) == (3, made[1])
    rest = api.officer.get(f"/api/v1/locks?limit=3&cursor={first['next']}").json()
    assert ([one["id"] for one in rest["locks"]], rest["next"]) == ([made[0]], None)


@pytest.mark.parametrize(
    "query", ["kind=x", "state=x", "limit=0", "cursor=x", "colour=red", "kind=hold&kind=hold", "case=%00"]
)
def test_a_wrong_parameter_is_named(api: Api, query: str) -> None:
    answer = api.officer.get(f"/api/v1/locks?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"colour": "red"}, "there is no colour"),
        ({"scope": []}, "of the wrong kind: scope"),
        ({"scope": {}}, "names entries or a filter"),
        ({"scope": {"entries": ["x"]}}, "by their ids"),
        ({"kind": "eternal"}, "of kind"),
        ({"until": "soon"}, "until: not an RFC 3339 time"),
        ({"until": "2020-01-01T00:00:00Z"}, "in the future"),
        ({"kind": "hold", "until": LATER.isoformat()}, "until it is released"),
        ({"case": "\0"}, "a case reference"),
    ],
)
def test_a_wrong_order_is_named_and_locks_nothing(api: Api, changes: dict[str, Any], sentence: str) -> None:
    answer = api.lock(**changes)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-lock")
    assert sentence in answer.json()["detail"]
    assert not LogLock.objects.exists()


def test_rights_and_ledgers_are_looked_at(api: Api) -> None:
    open_ledger(name="tenant", **BY)
    assert api.lock(ledger="tenant").status_code == 404
    lock = api.lock().json()["id"]
    stranger = api.of(person("sam", AUDITOR, "tenant"))
    assert stranger.get("/api/v1/locks").json()["locks"] == []
    assert stranger.get("/api/v1/locks?ledger=activity").status_code == 404
    assert stranger.get(f"/api/v1/locks/{lock}").json()["code"] == "lock-not-found"
    assert stranger.get(f"/api/v1/locks/{2**64}").status_code == 404
    assert api.release(stranger, lock, reason="r").status_code == 403
    assert api.approver.post("/api/v1/locks", {}, format="json").status_code == 403


def test_no_api_key_locks_or_sees_a_lock(api: Api) -> None:
    _, key = authority.create_api_key(
        name="k", scopes=list(ApiKey.Scope.values), ledger="activity", source="shop", by="ada", reason="test"
    )
    system = APIClient(headers={"Authorization": f"Api-Key {key}"})
    assert system.get("/api/v1/locks").status_code == 403
    assert system.post("/api/v1/locks", {}, format="json").status_code == 403
