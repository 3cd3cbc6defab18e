"""schemathesis asks the API what its document allows, and much that it does not: as a system, as a person, as nobody.

Bounded and deterministic: the same cases each time. What it finds is a difference between the document and the server.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from django.contrib.auth.models import Group, User
from django.core.wsgi import get_wsgi_application
from django.test import Client, override_settings
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import ignored_auth, unsupported_method

from activity import authority
from activity.event import Event
from activity.services import record
from auditlog_project.openapi import document
from auditlog_project.roles import COMPLIANCE_OFFICER
from locking import services
from metaaudit.record import MAX_QUERY
from tests.clusters import EMBEDDED, Clusters

CSRF_TOKEN = "x" * 32
EVENT = Event("shop.order", "order", "ann", datetime(2026, 11, 23, 12, tzinfo=UTC), "s", event_id="1", data={"n": 7})
# What a schema cannot say: a moment has at most six digits after the dot, a line is an event.
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
LINE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["shop.order", "auth.login", "auditlog.x", "No Type"]),
        "action": st.text(max_size=5),
        "actor": st.text(max_size=5),
        "occurred_at": MOMENTS,
    },
    optional={"data": st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3)},
)
LINES = st.lists(LINE.map(json.dumps), max_size=3).map(lambda lines: "\n".join(lines).encode())


@dataclass(frozen=True)
class Senders:
    """What a system and a person send with each request, an entry that both may read, and a lock."""

    system: dict[str, Any]
    person: dict[str, Any]
    entry_id: str
    lock_id: int


@pytest.fixture(scope="module")
def senders(clusters: Clusters, django_db_blocker: Any) -> Iterator[Senders]:
    cache = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}  # no throttles
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        _, key = authority.create_api_key(
            name="all", scopes=["logs:read", "logs:write"], ledger="activity", source="s", by="ada", reason="test"
        )
        user = User.objects.create_user("ann")
        user.groups.set(Group.objects.filter(name__in=("ingest", "reader", COMPLIANCE_OFFICER)))
        authority.grant_ledger(ledger="activity", to=user, by="ada", reason="test")
        client = Client()
        client.force_login(user)
        cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": CSRF_TOKEN}
        with override_settings(CACHES=cache):
            yield Senders(
                {"headers": {"Authorization": f"Api-Key {key}"}},
                {"headers": {"X-CSRFToken": CSRF_TOKEN}, "cookies": cookies},
                record(EVENT).id,
                services.lock(ledger="activity", scope={"leaf_from": 2**40}, kind="hold", reason="r", by=user).pk,
            )


def loaded(senders: Senders, *, systematic: bool) -> Any:
    """Return the document with what schemathesis is to know of it; `systematic` tries every limit that it names."""
    schemathesis.openapi.format("date-time", MOMENTS)
    schemathesis.openapi.media_type("application/x-ndjson", LINES)
    refusals = ["400", "401", "403", "404", "405", "406", "409", "411", "413", "414", "415", "429"]
    config = schemathesis.Config.from_dict(
        {
            "parameters": {
                "entry_id": senders.entry_id,
                "lock_id": senders.lock_id,
                "name": "activity",
                "path": "0/000.p/1",
            },
            "phases": {"coverage": {"enabled": systematic}},
            "checks": {
                "negative_data_rejection": {"expected-statuses": refusals},
                # What is right by its schema may still lack another parameter, or be another key's source.
                "positive_data_acceptance": {"enabled": False},
            },
        }
    )
    schema = schemathesis.openapi.from_dict(json.loads(document.as_json()), config=config)
    schema.app = get_wsgi_application()
    return schema


@pytest.fixture(scope="module")
def systematic(senders: Senders) -> Any:
    return loaded(senders, systematic=True)


@pytest.fixture(scope="module")
def random(senders: Senders) -> Any:
    return loaded(senders, systematic=False)


def bounded(examples: int) -> Any:
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.slow
@schemathesis.pytest.from_fixture("systematic").parametrize()
@bounded(4)  # type: ignore[untyped-decorator]
def test_a_system_meets_what_the_document_says(case: Any, senders: Senders) -> None:
    # An address that is too long is refused before anybody looks at the method.
    too_long = len(urlencode(case.query or {})) > MAX_QUERY
    case.call_and_validate(excluded_checks=[unsupported_method] if too_long else [], **senders.system)


@pytest.mark.slow
@schemathesis.pytest.from_fixture("random").parametrize()
@bounded(3)  # type: ignore[untyped-decorator]
def test_a_person_meets_what_the_document_says(case: Any, senders: Senders) -> None:
    # His cookie is sent with each request, also where the check tries a key that is none.
    case.call_and_validate(excluded_checks=[ignored_auth], **senders.person)
