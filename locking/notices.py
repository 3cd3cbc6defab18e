"""E-mails to those who must act: approvers of a request, and everybody who may review. A failed one stops nothing.

What is asked for stands on the start page as well; the mail only saves the waiting.
"""

from __future__ import annotations

import logging
import smtplib
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.mail import send_mail
from django.urls import reverse

from locking.people import able

if TYPE_CHECKING:
    from locking.models import LockOverride, LogLock

_LOG = logging.getLogger(__name__)


def override_requested(made: LockOverride) -> None:
    """Tell everybody who may decide it, but not the one who asked."""
    _tell(
        "decide_lockoverride",
        f"{made}: {made.requested_by} asks to change {len(made.entries)} locked entries",
        f"{made.requested_by} asks for {made.hours} hours. Reason: {made.reason}\nCase: {made.case_reference or '-'}",
        skipped=made.requested_by,
        page=reverse("override", args=[made.pk]),
    )


def release_requested(made: LogLock) -> None:
    """Tell everybody who may release it, but not the one who asked."""
    _tell(
        "release_loglock",
        f"{made}: {made.release_requested_by} asks for its release",
        f"Kind: {made.kind}, entries: {made.count:,}. Reason: {made.release_reason}",
        skipped=made.release_requested_by or "",
        page=reverse("lock", args=[made.pk]),
    )


def review_open(made: LockOverride) -> None:
    """Tell everybody who may review it, but not the one who asked for it."""
    _tell(
        "review_lockoverride",
        f"{made} has ended and waits for a review",
        f"{made.used_count} changes were made. Asked for by {made.requested_by}, decided by {made.decided_by}.",
        skipped=made.requested_by,
        page=reverse("override", args=[made.pk]),
    )


def _tell(permission: str, subject: str, text: str, *, skipped: str, page: str) -> None:
    people = able(permission=f"locking.{permission}", but=skipped).exclude(email="")
    addresses = list(people.values_list("email", flat=True))
    if not addresses:
        _LOG.warning("nobody can be told by e-mail: %s", subject)
        return
    if settings.AUDITLOG_PUBLIC_URL:
        text += f"\n\n{settings.AUDITLOG_PUBLIC_URL.rstrip('/')}{page}"
    try:
        send_mail(f"auditlog {settings.AUDITLOG_ORIGIN}: {subject}", text, settings.DEFAULT_FROM_EMAIL, addresses)
    except (OSError, smtplib.SMTPException) as error:
        _LOG.warning("an e-mail could not be sent: %s", type(error).__name__)
