"""Notices of findings: by e-mail and by webhook, to every configured receiver once, retried until they arrive.

A notice is made in the transaction that keeps its findings, and delivered by a sweep of what is still to be sent: no
broker has to remember anything. A receiver may get one twice, if a worker dies in between; `webhook-id` tells.

    POST <receiver>                                      Standard Webhooks, https://www.standardwebhooks.com
    webhook-id         notice-<number>
    webhook-timestamp  seconds since 1970
    webhook-signature  v1,<base64 of HMAC-SHA256 over id.timestamp.body>
    {"installation": "…", "notice": 7, "found_at": "…Z", "findings": [
        {"ledger": "activity", "leaf_index": 300, "verdict": "tampered", "reason": "…"}]}
"""

from __future__ import annotations

import base64
import hmac
import logging
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from activity.models import Delivery, Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from activity.models import OpenFinding

ATTEMPTS = 16  # the last about a day after the first
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=3)
_PATIENCE_SECONDS = 10
_IN_MAIL = 50  # findings that an e-mail lists
_LOG = logging.getLogger(__name__)


def announce(findings: Sequence[OpenFinding]) -> None:
    """Have a notice of these findings sent to everybody, in the caller's transaction."""
    notice = Notice.objects.create()
    notice.findings.set(findings)
    _address(notice)


def _address(notice: Notice) -> None:
    Delivery.objects.bulk_create(
        Delivery(notice=notice, kind=kind, receiver=receiver) for kind, receiver in receivers()
    )


def receivers() -> list[tuple[str, str]]:
    """Return kind and address of everybody who is configured to get notices."""
    mails = [(Delivery.Kind.EMAIL.value, address) for address in settings.AUDITLOG_NOTICE_EMAILS]
    return mails + [(Delivery.Kind.WEBHOOK.value, address) for address in settings.AUDITLOG_NOTICE_WEBHOOKS]


def receiver(delivery: Delivery) -> str:
    """Return who it is for, as it may be shown: the path of a webhook may be a secret."""
    if delivery.kind == Delivery.Kind.EMAIL:
        return delivery.receiver
    return f"webhook at {urlsplit(delivery.receiver).hostname}"


def state(delivery: Delivery) -> str:
    """Return how it stands with a delivery."""
    if delivery.delivered_at is not None:
        return f"told {delivery.delivered_at:%Y-%m-%d %H:%M:%S} UTC"
    tried = (
        f"{delivery.attempts} attempts, the last one: {delivery.last_error}" if delivery.attempts else "not tried yet"
    )
    if delivery.attempts >= ATTEMPTS:
        return f"given up: {tried}"
    return f"waits until {delivery.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC: {tried}"


def deliver_due() -> int:
    """Try every delivery that is due once; return how many arrived."""
    arrived = 0
    due = Delivery.objects.filter(delivered_at=None, next_attempt_at__lte=datetime.now(UTC), attempts__lt=ATTEMPTS)
    for place in due.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            # Nobody else sends it at the same time; who finds it locked passes it over.
            delivery = due.select_for_update(skip_locked=True).filter(pk=place).first()
            if delivery is not None:
                arrived += _try(delivery)
    return arrived


def send_test() -> list[Delivery]:
    """Send a notice without findings to every receiver now, and return the deliveries."""
    notice = Notice.objects.create()
    _address(notice)
    deliver_due()
    return list(notice.deliveries.order_by("pk"))


def _try(delivery: Delivery) -> bool:
    delivery.attempts += 1
    try:
        _SENDERS[delivery.kind](delivery)
    except Exception as error:  # noqa: BLE001 whatever goes wrong on the way is tried again
        delivery.last_error = _without_secrets(error)
        wait = min(_FIRST_WAIT * 2 ** (delivery.attempts - 1), _LONGEST_WAIT)
        delivery.next_attempt_at = datetime.now(UTC) + wait
        _LOG.warning("%s was not delivered: %s", delivery, delivery.last_error)
        if delivery.attempts >= ATTEMPTS:
            _LOG.error("%s is given up", delivery)
    else:
        delivery.last_error = ""
        delivery.delivered_at = datetime.now(UTC)
    delivery.save(update_fields=["attempts", "last_error", "next_attempt_at", "delivered_at"])
    return delivery.delivered_at is not None


def _without_secrets(error: Exception) -> str:
    """Return what kind of error it is; its text could hold an address with a password."""
    code = getattr(error, "code", None) or getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {code}" if isinstance(code, int) else type(error).__name__


def _send_mail(delivery: Delivery) -> None:
    findings = list(delivery.notice.findings.order_by("ledger", "leaf_index"))
    lines = [f"{each}" for each in findings[:_IN_MAIL]]
    if len(findings) > _IN_MAIL:
        lines.append(f"… and {len(findings) - _IN_MAIL:,} more")
    if not findings:
        lines = ["This is a test: notices of auditlog reach you."]
    else:
        lines += [
            "",
            "What to do: docs/operations.md, 'When verification finds something'. Change nothing yet; run",
            "    ./auditlog verify --json > finding.json",
        ]
    subject = f"auditlog {settings.AUDITLOG_ORIGIN}: " + (
        f"{len(findings):,} new finding{'s' * (len(findings) > 1)}" if findings else "test notice"
    )
    send_mail(subject, "\n".join(lines), settings.DEFAULT_FROM_EMAIL, [delivery.receiver])


def _call_webhook(delivery: Delivery) -> None:
    body = orjson.dumps(_said(delivery.notice))
    name, now = f"notice-{delivery.notice_id}", str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "auditlog",
        "webhook-id": name,
        "webhook-timestamp": now,
        "webhook-signature": signature(name, now, body),
    }
    request = urllib.request.Request(delivery.receiver, body, headers, method="POST")  # noqa: S310 checks.py: https
    with _OPENER.open(request, timeout=_PATIENCE_SECONDS) as answer:
        answer.read(1024)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise urllib.error.HTTPError("", answer.status, "not taken", answer.headers, None)


def signature(name: str, timestamp: str, body: bytes) -> str:
    """Return the signature header of a webhook."""
    secret = settings.AUDITLOG_WEBHOOK_SECRET.encode()
    signed = hmac.new(secret, f"{name}.{timestamp}.".encode() + body, sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def _said(notice: Notice) -> dict[str, Any]:
    return {
        "installation": settings.AUDITLOG_ORIGIN,
        "notice": notice.pk,
        "found_at": notice.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "findings": [
            {"ledger": one.ledger, "leaf_index": one.leaf_index, "verdict": one.verdict, "reason": one.reason}
            for one in notice.findings.order_by("ledger", "leaf_index")
        ],
    }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What is signed for one address goes to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirect)
_SENDERS = {Delivery.Kind.EMAIL.value: _send_mail, Delivery.Kind.WEBHOOK.value: _call_webhook}
