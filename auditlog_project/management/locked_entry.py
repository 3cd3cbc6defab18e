"""The part of the demo about locks: an entry is locked, resists SQL, and changes under an override of two people.

It happens in the demo's ledger of the real database: a lock in a copy would be signed for as well, and two histories
would bear the same signature. What stays is a lock that ends within the hour, and the records of every step. The two
people have accounts without a password, which are open only while they act.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import psycopg
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction

from activity import amending, authority
from activity.access import of_user
from activity.errors import EntryLockedError
from activity.models import ActivityLog
from activity.timestamps import timestamp
from auditlog_project.roles import APPROVER, COMPLIANCE_OFFICER
from locking import overriding, services
from locking.errors import LockRefusedError
from locking.models import LogLock
from signing.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from locking.models import LockOverride
    from signing.models import Ledger

_OFFICER, _APPROVER = "demo-olga", "demo-anton"
_LOCKED_FOR = timedelta(hours=1)


class _Attack(NamedTuple):
    """What somebody tries with the application's own password, and the SQLSTATE that he gets."""

    what: str
    statements: tuple[str, ...]
    sqlstate: str


ATTACKS = (
    _Attack(
        "UPDATE to a right next version, its leaf in the tree",
        (
            "SELECT ledger_append(ledger_id, %(leaf_hash)s, '{}') FROM activity_logs WHERE id = %(entry)s",
            """UPDATE activity_logs SET record = %(record)s, revision = revision + 1,
                leaf_index = (SELECT h.size - 1 FROM ledger_heads h WHERE h.ledger_id = activity_logs.ledger_id)
                WHERE id = %(entry)s""",
        ),
        "AL002",
    ),
    _Attack(
        "UPDATE … SET outcome = 'success'",
        ("UPDATE activity_logs SET outcome = 'success' WHERE id = %(entry)s",),
        "AL002",
    ),
    _Attack(
        "UPDATE … SET locked = false",
        ("UPDATE activity_logs SET locked = false WHERE id = %(entry)s",),
        "42501",
    ),
    _Attack("DELETE FROM activity_logs", ("DELETE FROM activity_logs WHERE id = %(entry)s",), "42501"),
)


def show(ledger: Ledger, *, say: Callable[[str], None], good: Callable[[str], None]) -> None:
    """Lock an entry, attack it, and change it under an override.

    Raises CommandError if anything is not as it should be.
    """
    entry = _entry(ledger)
    with _nobody_gets_mail(), _two_people(ledger) as (officer, approver):
        made = services.lock(
            ledger=ledger.name,
            scope={"entries": [str(entry.pk)]},
            kind=LogLock.Kind.GOVERNANCE,
            reason="the demo",
            by=officer,
            until=datetime.now(UTC) + _LOCKED_FOR,
        )
        say(
            f"{officer} locks the entry at leaf {entry.leaf_index} ({entry.action}): {made}, {made.get_state_display()}"
        )
        for attack in ATTACKS:
            good(f"{attack.what}: refused, {_refused(attack, entry)}")
        _change_under_an_override(entry, officer, approver, say=say, good=good)


def _change_under_an_override(
    entry: ActivityLog, officer: User, approver: User, *, say: Callable[[str], None], good: Callable[[str], None]
) -> None:
    made = overriding.request_override(entries=[entry.pk], hours=1, by=officer, reason="the demo: a wrong severity")
    say(f"{officer} asks for {made}: this entry, one hour")
    good(f"{officer} approves it herself: refused, {_own_approval(made, officer)}")
    _expect_locked(entry, officer)
    made = overriding.decide_override(override_id=made.pk, approve=True, by=approver, reason="seen")
    say(f"{approver} approves it; it runs until {made.runs_until:%H:%M} UTC")
    receipt = amending.amend(
        entry_id=entry.pk, changes={"severity": _other_severity(entry)}, by=officer, reason="the demo: a wrong severity"
    )
    good(f"the entry is amended: a new leaf, {receipt.leaf_index}; the old version stays in the archive, with {made}")
    made = overriding.end_override(override_id=made.pk, by=officer.get_username())
    _expect_locked(entry, officer)
    good(f"{made} is {made.state}, {made.used_count} change; the entry is locked as before")
    if made.reviewed_by is not None:
        raise CommandError("a review should be open")
    say(f"its review is open until somebody other than {officer} signs it off")
    made = overriding.review_override(override_id=made.pk, by=approver, note="one severity, as asked")
    say(f"{made.reviewed_by} signs it off; every step is a signed entry of the ledger “activity”")


def _entry(ledger: Ledger) -> ActivityLog:
    """Return the entry that was recorded first of those in which something was denied; the same one in every run."""
    entry = ActivityLog.objects.filter(ledger=ledger, outcome="denied", key__isnull=False).order_by("pk").first()
    if entry is None:
        raise CommandError("the sample should hold signed entries of something denied")
    return entry


def _refused(attack: _Attack, entry: ActivityLog) -> str:
    """Run an attack as the role of the application, take it back, and return SQLSTATE and reason."""
    record = _amended(entry)
    values: dict[str, Any] = {"entry": entry.pk, "record": record, "leaf_hash": leaf_hash(record)}
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            for statement in attack.statements:
                cursor.execute(statement, values)
            transaction.set_rollback(True)
    except DatabaseError as error:
        cause = error.__cause__
        if isinstance(cause, psycopg.Error) and cause.sqlstate == attack.sqlstate:
            return f"{cause.sqlstate}: {_reason(cause)}"
        raise CommandError(f"{attack.what} should have been refused with {attack.sqlstate}: {error}") from error
    raise CommandError(f"{attack.what} should have been refused with {attack.sqlstate}")


def _amended(entry: ActivityLog) -> bytes:
    """Return the record of a right amendment: the next revision, which says what it supersedes, by whom and why."""
    superseded = bytes(entry.record)
    said = {
        "at": timestamp(datetime.now(UTC)),
        "by": "eve",
        "reason": "mine",
        "supersedes": {"leaf_hash": leaf_hash(superseded).hex(), "leaf_index": entry.leaf_index},
    }
    changed = orjson.loads(superseded) | {"revision": entry.revision + 1, "amendment": said}
    return orjson.dumps(changed, option=orjson.OPT_SORT_KEYS)


def _reason(error: psycopg.Error) -> str:
    detail = error.diag.message_detail
    return str(orjson.loads(detail)["reason"]) if detail else str(error.diag.message_primary)


def _own_approval(made: LockOverride, officer: User) -> str:
    try:
        overriding.decide_override(override_id=made.pk, approve=True, by=officer, reason="my own")
    except LockRefusedError as error:
        return str(error)
    raise CommandError("an approval of one's own request should have been refused")


def _expect_locked(entry: ActivityLog, officer: User) -> None:
    try:
        amending.amend(entry_id=entry.pk, changes={"severity": _other_severity(entry)}, by=officer, reason="too soon")
    except EntryLockedError:
        return
    raise CommandError("an amendment without an override that runs should have been refused")


def _other_severity(entry: ActivityLog) -> str:
    present: str = ActivityLog.objects.values_list("severity", flat=True).get(pk=entry.pk)
    return "warning" if present == "notice" else "notice"


@contextmanager
def _two_people(ledger: Ledger) -> Iterator[tuple[User, User]]:
    """Give an officer, who may approve as well, and an approver; nobody can sign in as one of them."""
    names = (_OFFICER, _APPROVER)
    for own in User.objects.filter(username__in=names):
        if own.has_usable_password():
            raise CommandError(f"the account {own} is somebody's own, and the demo needs the name")
    try:
        yield _person(_OFFICER, ledger, COMPLIANCE_OFFICER, APPROVER), _person(_APPROVER, ledger, APPROVER)
    finally:
        User.objects.filter(username__in=names).update(is_active=False)


def _person(name: str, ledger: Ledger, *roles: str) -> User:
    person, _ = User.objects.get_or_create(username=name, defaults={"email": f"{name}@demo.invalid"})
    person.is_active = True
    person.set_unusable_password()
    person.save()
    person.groups.set(Group.objects.filter(name__in=roles))
    if ledger.name not in of_user(person).readable:
        authority.grant_ledger(ledger=ledger.name, to=person, by="demo", reason="the demo's own ledger")
    return person


@contextmanager
def _nobody_gets_mail() -> Iterator[None]:
    """Keep what an override would send to real approvers."""
    before = settings.EMAIL_BACKEND
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    try:
        yield
    finally:
        settings.EMAIL_BACKEND = before
