"""E-mails to those who must act, and to approvers who were skipped, for another one acted. A failed one stops nothing.

What waits stands on the start page as well; the mail only saves the waiting. What was decided is told to whoever asked,
and to everybody who could have decided it and did not: an approval of which nobody else hears is not four eyes.
"""

from __future__ import annotations

import logging
import smtplib
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.urls import reverse

from locking.models import LockOverride
from locking.people import able
from locking.queries import ledgers_of
from locking.rights import DECIDE_OVERRIDE, RELEASE, REVIEW_OVERRIDE
from locking.wording import counted, moment_words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from locking.models import LogLock

_LOG = logging.getLogger(__name__)


def override_requested(made: LockOverride) -> None:
    """Tell everybody who may decide it, but not the one who asked."""
    hours = counted(made.hours, "hour", "hours")
    _tell(
        _able(DECIDE_OVERRIDE, ledgers_of(made), made.requested_by),
        f"{made}: {made.requested_by} asks to change {counted(len(made.entries), 'locked entry', 'locked entries')}",
        f"{made.requested_by} asks for {hours}. Reason: {made.reason}\nCase: {made.case_reference or '-'}",
        page=reverse("override", args=[made.pk]),
    )


def override_decided(made: LockOverride, *, reason: str) -> None:
    """Tell whoever asked for it, and everybody who might have decided it and was skipped."""
    denied = made.state == LockOverride.State.DENIED
    until = "" if made.runs_until is None else f" It runs until {moment_words(made.runs_until)}."
    _tell(
        _others(DECIDE_OVERRIDE, ledgers_of(made), asked_by=made.requested_by, done_by=made.decided_by),
        f"{made}: {made.decided_by} {'denied' if denied else 'approved'} what {made.requested_by} had asked for",
        f"Reason: {reason}\n{made.requested_by} had asked for it: {made.reason}.{until}",
        page=reverse("override", args=[made.pk]),
    )


def release_requested(made: LogLock) -> None:
    """Tell everybody who may release it, but not the one who asked."""
    _tell(
        _able(RELEASE, [made.ledger.name], made.release_requested_by),
        f"{made}: {made.release_requested_by} asks for its release",
        f"Kind: {made.kind}, entries: {made.count:,}. Reason: {made.release_reason}",
        page=reverse("lock", args=[made.pk]),
    )


def released(made: LogLock) -> None:
    """Tell whoever asked for it, and everybody who might have released it and was skipped."""
    _tell(
        _others(RELEASE, [made.ledger.name], asked_by=made.release_requested_by, done_by=made.released_by),
        f"{made}: {made.released_by} gave the release that {made.release_requested_by} had asked for",
        f"Kind: {made.kind}, entries: {made.count:,}. Reason: {made.release_reason}",
        page=reverse("lock", args=[made.pk]),
    )


def release_declined(made: LogLock, *, asked_by: str) -> None:
    """Tell whoever asked for it, and everybody who might have released it and was skipped."""
    _tell(
        _others(RELEASE, [made.ledger.name], asked_by=asked_by, done_by=made.declined_by),
        f"{made}: {made.declined_by} declined the release that {asked_by} had asked for",
        f"Kind: {made.kind}, entries: {made.count:,}. It holds as before. Reason: {made.decline_reason}",
        page=reverse("lock", args=[made.pk]),
    )


def release_withdrawn(made: LogLock, *, asked_by: str) -> None:
    """Tell everybody who was asked to release it."""
    _tell(
        _able(RELEASE, [made.ledger.name], asked_by),
        f"{made}: {asked_by} withdrew the request for its release",
        f"Kind: {made.kind}, entries: {made.count:,}. Nothing is to be done.",
        page=reverse("lock", args=[made.pk]),
    )


def review_open(made: LockOverride) -> None:
    """Tell everybody who may review it, but not the one who asked for it."""
    changes = counted(made.used_count, "change was", "changes were")
    _tell(
        _able(REVIEW_OVERRIDE, ledgers_of(made), made.requested_by),
        f"{made} has ended and waits for a review",
        f"{changes} made. Asked for by {made.requested_by}, decided by {made.decided_by}.",
        page=reverse("override", args=[made.pk]),
    )


def _able(permission: str, ledgers: Iterable[str], but: str | None) -> set[str]:
    return {user.email for user in able(permission=permission, but=but or "", ledgers=ledgers)}


def _others(permission: str, ledgers: Iterable[str], *, asked_by: str | None, done_by: str | None) -> set[str]:
    asker = User.objects.filter(username=asked_by, is_active=True).values_list("email", flat=True)
    return _able(permission, ledgers, done_by) | set(asker)


def _tell(emails: set[str], subject: str, text: str, *, page: str) -> None:
    addresses = sorted(emails - {""})
    if not addresses:
        _LOG.warning("nobody can be told by e-mail: %s", subject)
        return
    if settings.AUDITLOG_PUBLIC_URL:
        text += f"\n\n{settings.AUDITLOG_PUBLIC_URL.rstrip('/')}{page}"
    try:
        send_mail(f"auditlog {settings.AUDITLOG_ORIGIN}: {subject}", text, settings.DEFAULT_FROM_EMAIL, addresses)
    except (OSError, smtplib.SMTPException) as error:
        _LOG.warning("an e-mail could not be sent: %s", type(error).__name__)
