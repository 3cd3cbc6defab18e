"""The e-mail at the end of an export that was made in the background. It holds no entry, and no secret.

Sent at most once: whoever marks the row sends it. A mail server that is away costs the mail, never the export.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.urls import reverse

from exports.models import Export

if TYPE_CHECKING:
    from uuid import UUID

_LOG = logging.getLogger(__name__)
_ENDED = (Export.State.READY, Export.State.FAILED)
_TEXT = """The export {id} that you ordered is {state}.

purpose: {purpose}
ledger: {ledger}, as of {size:,} leaves
{outcome}
{address}
"""


def tell(export_id: UUID) -> None:
    """Send the e-mail of an export that has ended, unless it was sent or its person has no address."""
    told = Export.objects.filter(pk=export_id, state__in=_ENDED, told_at=None).update(told_at=datetime.now(UTC))
    if not told:
        return
    export = Export.objects.select_related("ledger").get(pk=export_id)
    receiver = User.objects.filter(pk=export.ordered_by_id, is_active=True).values_list("email", flat=True).first()
    if not receiver:
        return
    try:
        send_mail(f"Your export is {export.state}", _text(export), None, [receiver])
    except OSError as error:
        _LOG.warning("the e-mail about an export was not sent: %s", type(error).__name__)


def _text(export: Export) -> str:
    ready = export.state == Export.State.READY
    address = reverse("export", args=[export.pk])
    return _TEXT.format(
        id=export.pk,
        state=export.state,
        purpose=export.purpose,
        ledger=export.ledger.name,
        size=export.size,
        outcome=f"entries: {export.entries:,}\nSHA-256: {export.file_sha256}" if ready else export.failure,
        address=f"{settings.AUDITLOG_PUBLIC_URL.rstrip('/')}{address}" if settings.AUDITLOG_PUBLIC_URL else "",
    )
