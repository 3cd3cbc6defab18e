"""What tests of exports order, and who orders it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from django.contrib.auth.models import Group, User

from activity import authority
from activity.event import Event
from auditlog_project.roles import COMPLIANCE_OFFICER
from exports import services
from exports.models import Export
from signing import export_keys

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
EVENT = Event("shop.order", "order", "ann", NOON, "shop", target="o/1", ip="192.0.2.7", data={"total": 7})


def person(name: str, role: str = COMPLIANCE_OFFICER, *, has_key: bool = True) -> User:
    """Return somebody with a role, the ledger `activity`, and an export key."""
    user = User.objects.create_user(name, email=f"{name}@example.org")
    user.groups.add(Group.objects.get(name=role))
    authority.grant_ledger(ledger="activity", to=user, by="ada", reason="test")
    if has_key:
        export_keys.certify(person=name, by="ada", reason="test")
    return User.objects.get(pk=user.pk)


def orders(count: int) -> list[Event]:
    """Return events that differ in number, actor and minute."""
    return [
        replace(EVENT, data={"n": n}, actor=f"actor-{n % 3}", occurred_at=NOON + timedelta(minutes=n))
        for n in range(count)
    ]


def made(by: User, formats: tuple[str, ...] = ("csv", "ndjson"), **filters: str) -> Export:
    """Return an export that was ordered and made."""
    ordered = services.order(by=by, ledger="activity", filters=filters, formats=formats, purpose="audit of orders")
    services.work(export=ordered.export.pk)
    ordered.export.refresh_from_db()
    assert ordered.export.state == Export.State.READY, ordered.export.failure
    return ordered.export
