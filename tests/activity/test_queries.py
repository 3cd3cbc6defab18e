"""What is read of entries: JWS for any library, first receipts, log types, and where verification goes on."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from activity import queries
from activity.event import Event
from activity.models import ActivityLog
from activity.report import Report
from activity.services import record, record_verification
from signing.merkle import leaf_hash
from signing.queries import jwks, ledger_named
from signing.verdicts import Finding, Verdict

pytestmark = pytest.mark.django_db
EVENT = Event("shop.order", "order", "ada", datetime(2026, 11, 23, 5, 40, tzinfo=UTC), "shop", event_id="e-1")


def entry_of(event: Event) -> Any:
    return ActivityLog.objects.select_related("key").get(pk=record(event).id)


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")  # RFC 9864 names it Ed25519, which libraries do not know yet
def test_an_entry_is_a_jws_that_another_library_verifies() -> None:
    entry = entry_of(EVENT)
    compact = queries.entry_as_jws(entry)
    assert compact is not None
    read = jws.deserialize_compact(compact, KeySet.import_key_set(jwks()), algorithms=["EdDSA"])  # type: ignore[arg-type]
    assert read.payload == bytes(entry.record)
    assert read.headers() == {"alg": "EdDSA", "kid": entry.key_id, "typ": "activity-entry"}


def test_an_unsigned_entry_is_no_jws() -> None:
    event = Event("windows.sysmon.1", "run", "ada", datetime(2026, 11, 23, tzinfo=UTC), "pc")
    assert queries.entry_as_jws(entry_of(event)) is None


def test_known_event_ids_are_found_by_source() -> None:
    entry = entry_of(EVENT)
    ledger = ledger_named("activity")
    asked = [("shop", "e-1"), ("shop", "e-2"), ("bar", "e-1")]
    (found,) = queries.known_event_ids(ledger, asked).items()
    assert found == (("shop", "e-1"), (entry.pk, entry.leaf_index, leaf_hash(entry.record), entry.event_digest))
    assert queries.known_event_ids(ledger_named("meta"), asked) == {}


def test_the_facts_of_a_log_type_are_those_of_its_system_entry() -> None:
    step = ActivityLog.objects.filter(type="auditlog.log-type.set", target="auth.*").get()
    said = orjson.loads(bytes(step.record))["data"]
    policy = queries.policies().match("auth.login")
    assert policy is not None
    assert (said["pattern"], said["requires_signature"], said["algorithm"]) == (
        policy.pattern,
        policy.requires_signature,
        policy.algorithm,
    )


def test_verification_goes_on_after_the_last_run_without_alarm() -> None:
    ledger = ledger_named("activity")
    assert queries.last_verified(ledger) is None
    now = datetime.now(UTC)
    record_verification(Report("activity", 0, 3, b"r" * 32), started_at=now)
    broken = Report("activity", 0, 5, b"s" * 32)
    broken.add([Finding("activity", 4, Verdict.TAMPERED, "a test")])
    record_verification(broken, started_at=now)
    last = queries.last_verified(ledger)
    assert last is not None
    assert (last.size, last.root) == (3, b"r" * 32)
