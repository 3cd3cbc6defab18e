"""Ordering, making and handing out exports: the only writers of their rows. Each step of an export is a system entry.

order      what is wanted, of which ledger as of which checkpoint; from then on that does not change
work       make parts until none is left, then join them; any number of workers at once, any of them may die
           without a time stamp that was asked for it waits with its parts, and the authority is asked again later
cancel, expire, download
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection, transaction
from django.db.models import Sum
from uuid_utils.compat import uuid7

from activity.errors import BadQueryError, Problem
from activity.ground import present_ground
from activity.services import SYSTEM_SOURCE, record_step
from exports import files, render_pdf
from exports.assembly import assemble
from exports.downloads import Download, note_taken, open_download
from exports.errors import BadOrderError, ExportError, ExportRefusedError, QuotaError
from exports.making import PART_LEAVES, make_part
from exports.models import Export, ExportPart
from exports.sources import exportable, ledger_for, source_of
from signing import statements
from signing.authorities import time_stamp
from signing.errors import BadCheckpointError, BadTimeStampError, SigningError
from signing.ledger import sign_checkpoint
from signing.queries import export_signer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from uuid import UUID

    from activity.extraction import Span
    from exports.manifest import Claim

_LOG = logging.getLogger(__name__)
ORDER_PERMISSION = "exports.add_export"
FEW = 1_000  # entries that are exported while somebody waits
MAX_PURPOSE, MAX_CASE = 500, 200  # characters
NO_FILTERS = ("ledger", "order", "limit", "cursor")  # of a page of the log, which an export is none
_MAX_FAILURE = 500  # characters
_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=15), timedelta(minutes=15)
_MAX_DOUBLINGS = 10  # of the wait; from there on it is the longest anyway
_ORDERS = 0x61756403  # first half of an advisory lock; the other is the user
State = Export.State


class Ordered(NamedTuple):
    """An export that was ordered; `at_once`: it is small enough to be made while somebody waits."""

    export: Export
    at_once: bool


def order(
    *,
    by: User,
    ledger: str,
    filters: Mapping[str, str],
    formats: Collection[str],
    purpose: str,
    case: str = "",
    how: str = "",
) -> Ordered:
    """Order an export of what these filters find in the ledger as it stands now, and return it.

    `how` it was ordered stands behind the purpose, if it is said: not every order is made by the account itself.
    Raises PermissionDenied, BadOrderError, QuotaError, ExportKeyError, BadQueryError, LedgerNotFoundError,
    ExportRefusedError if the ledger itself cannot be believed.
    """
    _require_right(by)
    of = ledger_for(by, ledger)
    source = source_of(of)
    purpose = f"{purpose.strip()} ({how})" if how and purpose.strip() else purpose.strip()
    _require_sense(formats, source.formats, purpose, case)
    _require_filters(filters)
    export_signer(by.get_username())
    ask = source.asked(of, filters)
    note = sign_checkpoint(of)
    try:
        head = present_ground().checked(of, note)
    except BadCheckpointError as error:
        raise ExportRefusedError(f"the ledger's own checkpoint cannot be believed: {error}") from error
    reader = ask(head)
    few = reader.few(FEW)
    if few is None and Export.Format.PDF in formats and reader.exceeds(render_pdf.MOST_ENTRIES):
        raise BadOrderError(render_pdf.too_large(f"more than {render_pdf.MOST_ENTRIES:,}"))
    span = few or reader.span()
    with transaction.atomic():
        _require_quota(by)
        export = Export(
            id=uuid7(),
            ordered_by=by.get_username(),
            ordered_by_id=by.pk,
            ledger=of,
            filters=filters,
            formats=[name for name in Export.Format.values if name in formats],
            purpose=purpose,
            case=case.strip(),
            checkpoint=note,
            size=head.size,
            first_leaf=span.begin,
            end_leaf=span.end,
            is_complete=span.complete is not None,
        )
        export.save(force_insert=True)
        ExportPart.objects.bulk_create(_parts(export, span, whole=few is not None))
        _record(export, "ordered", by=by.get_username(), **_order_facts(export))
    return Ordered(export, few is not None)


def work(*, export: UUID, after_part: Callable[[], None] = lambda: None) -> None:
    """Make parts of an export until no other is left, and join them if all are made.

    Whatever stops it for good is the failure of the export, told to whoever ordered it and no error here.
    """
    try:
        while _make_next_part(export):
            after_part()
        _finish(export)
    except BadTimeStampError as error:
        _wait(export, str(error))
    except (ExportError, SigningError) as error:
        _fail(export, str(error))
    except OperationalError:
        raise  # the database was away for a moment: the next worker goes on
    except Exception as error:  # noqa: BLE001 it ends here, and whoever ordered it is told
        _LOG.exception("the export %s failed", export)
        _fail(export, f"{_what_broke(error)}: tell whoever runs the server, and order it again when that is mended")


def cancel(*, export: Export, by: User) -> None:
    """Stop an export that is not made yet. Raises ExportRefusedError, PermissionDenied."""
    if by.pk != export.ordered_by_id:
        raise PermissionDenied("an export is cancelled by whoever ordered it")
    with transaction.atomic():
        if not Export.objects.filter(pk=export.pk, state__in=Export.OPEN).update(
            state=State.CANCELLED, finished_at=datetime.now(UTC)
        ):
            raise ExportRefusedError("it is not under way any more")
        _record(export, "cancelled", by=by.get_username())
    _remove_parts(export)
    export.refresh_from_db()


def expire(*, now: datetime | None = None) -> int:
    """Remove the files of exports whose time is over; return how many there were."""
    due = Export.objects.filter(state=State.READY, expires_at__lte=now or datetime.now(UTC))
    expired = 0
    for export in due:
        with transaction.atomic():
            if not Export.objects.filter(pk=export.pk, state=State.READY).update(state=State.EXPIRED):
                continue
            try:
                files.remove([export.file])
                _remove_parts(export)  # of a worker that died before it did
            except OSError:
                _LOG.exception("the files of the export %s stay until the next attempt", export.pk)
                transaction.set_rollback(True)
                continue
            _record(export, "expired", by=SYSTEM_SOURCE)
        expired += 1
    return expired


def download(*, export: Export, by: User, name: str = "") -> Download:
    """Return the container, or one file out of it, and record who takes it.

    Raises ExportRefusedError, and PermissionDenied for a ledger that was taken from whoever once ordered it.
    """
    if export.ledger.name not in exportable(by):
        raise PermissionDenied("the ledger of this export is not granted to you any more")
    if export.state != State.READY:
        raise ExportRefusedError(f"it is {export.state}: there is no file to download")
    taken = open_download(export, name)
    _record(export, "downloaded", by=by.get_username(), file=taken.name)
    note_taken(export, name)
    return taken


def _require_right(by: User) -> None:
    if not by.has_perm(ORDER_PERMISSION):
        raise PermissionDenied("exports are ordered by those whose role lets them: compliance officers and auditors")


def _require_right_still(export: Export) -> None:
    """Raise ExportRefusedError unless whoever ordered an export might order it now: it is signed in his name."""
    by = User.objects.filter(pk=export.ordered_by_id, is_active=True).first()
    if by is None or not by.has_perm(ORDER_PERMISSION) or export.ledger.name not in exportable(by):
        raise ExportRefusedError(f"{export.ordered_by} may not export from the ledger {export.ledger.name} any more")


def _require_sense(formats: Collection[str], known: Sequence[str], purpose: str, case: str) -> None:
    if not formats or not set(formats) <= set(known):
        raise BadOrderError(f"formats are one or more of {', '.join(known)}")
    if not purpose:
        raise BadOrderError("an export needs a purpose: it stands on its first page")
    if len(purpose) > MAX_PURPOSE or len(case) > MAX_CASE or "\0" in purpose + case:
        raise BadOrderError(f"purpose and case have at most {MAX_PURPOSE} and {MAX_CASE} characters, none of them NUL")


def _require_filters(filters: Collection[str]) -> None:
    said = "is for a page of the log: an export holds all that its filters find, in the order of leaves"
    problems = [Problem(name, said) for name in NO_FILTERS if name in filters]
    if problems:
        raise BadQueryError(problems)


def _require_quota(by: User) -> None:
    """Raise QuotaError if somebody has too much under way or kept; his orders come one after another."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_ORDERS, by.pk])
    own = Export.objects.filter(ordered_by_id=by.pk)
    most = settings.AUDITLOG_EXPORTS_AT_ONCE
    if own.filter(state__in=Export.OPEN).count() >= most:
        raise QuotaError(f"{most} exports of yours are under way: wait for one, or cancel it")
    kept = own.filter(state=State.READY).aggregate(size=Sum("file_size"))["size"] or 0
    if kept >= settings.AUDITLOG_EXPORT_QUOTA_BYTES:
        quota = f"{settings.AUDITLOG_EXPORT_QUOTA_BYTES:,}"
        raise QuotaError(f"your exports take {kept:,} bytes, and {quota} are yours: they go as they expire")


def _parts(export: Export, span: Span, *, whole: bool) -> Iterator[ExportPart]:
    """Yield the parts of a span; they begin at multiples of 256, where a proof is cheapest."""
    step = max(span.end - span.begin, 1) if whole else PART_LEAVES
    begins = range(span.begin - (0 if whole else span.begin % PART_LEAVES), span.end, step)
    for number, begin in enumerate(begins):
        end = min(begin + step, span.end)
        yield ExportPart(export=export, number=number, first_leaf=max(begin, span.begin), end_leaf=end)


def _make_next_part(export_id: UUID) -> bool:
    """Make a part that nobody makes now. The lock on its row is the claim, and ends with the connection."""
    with transaction.atomic():
        export = _begun(export_id)
        if export is None:
            return False
        waiting = ExportPart.objects.filter(export=export, done_at=None).order_by("number")
        part = waiting.select_for_update(skip_locked=True).first()
        if part is None:
            return False
        if Export.Format.PDF in export.formats:
            render_pdf.require_printable(export.parts.aggregate(entries=Sum("entries"))["entries"])
        made = make_part(export, part)
        ExportPart.objects.filter(pk=part.pk).update(
            done_at=datetime.now(UTC),
            entries=made.entries,
            first_entry=made.first_entry,
            last_entry=made.last_entry,
            leaves=made.leaves,
            verdicts=made.verdicts,
            files=made.files,
        )
    if not Export.objects.filter(pk=export_id, state__in=Export.OPEN).exists():
        _remove_parts(export)  # it ended meanwhile, and whoever ended it did not know of this part
        return False
    return True


def _begun(export_id: UUID) -> Export | None:
    """Return an export that is to be worked on, as running, or None."""
    Export.objects.filter(pk=export_id, state=State.WAITING).update(state=State.RUNNING, started_at=datetime.now(UTC))
    return Export.objects.select_related("ledger").filter(pk=export_id, state=State.RUNNING).first()


def _finish(export_id: UUID) -> None:
    """Join the parts of an export, sign, and store the file, if all are made and nobody else does it."""
    with statements.alone(int.from_bytes(export_id.bytes[-8:], signed=True)) as alone:
        export = _begun(export_id)
        at = datetime.now(UTC)
        if not alone or export is None or not export.is_due(at):
            return
        parts = list(export.parts.order_by("number"))
        if any(part.done_at is None for part in parts):
            return
        _require_right_still(export)
        signer = export_signer(export.ordered_by, at=at)
        with TemporaryDirectory(prefix="auditlog-export-") as directory:
            stamp = partial(time_stamp, settings.AUDITLOG_TSA_URL) if settings.AUDITLOG_TSA_URL else None
            assembled = assemble(export, parts, signer, directory=Path(directory), at=at, time_stamp=stamp)
            size = assembled.path.stat().st_size
            name = files.store(f"{export.pk}/{assembled.path.name}", assembled.path)
        claim = assembled.claim
        with transaction.atomic():
            ready = Export.objects.filter(pk=export.pk, state=State.RUNNING).update(
                state=State.READY,
                waits_for="",
                finished_at=at,
                expires_at=at + timedelta(days=settings.AUDITLOG_EXPORT_DAYS),
                entries=claim.entries,
                verdicts=claim.verdicts,
                dataset_digest=claim.dataset_digest,
                signer_certificate_sha256=claim.signer_certificate_sha256,
                file=name,
                file_size=size,
                file_sha256=assembled.sha256,
            )
            if ready:
                _record(export, "made", by=export.ordered_by, **_made_facts(claim, assembled.sha256))
        if not ready:  # it was cancelled meanwhile
            files.remove([name])
    _remove_parts(export)


def _wait(export_id: UUID, why: str) -> None:
    """Keep an export and its parts for another attempt. However long that takes, whoever ordered it may cancel it."""
    with transaction.atomic():
        export = Export.objects.select_for_update().get(pk=export_id)
        wait = min(_FIRST_WAIT * 2 ** min(export.attempts, _MAX_DOUBLINGS), _LONGEST_WAIT)
        Export.objects.filter(pk=export_id, state=State.RUNNING).update(
            waits_for=why[:_MAX_FAILURE], attempts=export.attempts + 1, next_attempt_at=datetime.now(UTC) + wait
        )


def _what_broke(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"its files could not be written or read ({error.strerror or type(error).__name__})"
    return "it failed for a reason that is in the server's log"


def _fail(export_id: UUID, why: str) -> None:
    with transaction.atomic():
        failed = Export.objects.filter(pk=export_id, state__in=Export.OPEN).update(
            state=State.FAILED, finished_at=datetime.now(UTC), failure=why[:_MAX_FAILURE]
        )
        export = Export.objects.get(pk=export_id)
        if failed:
            _record(export, "failed", by=export.ordered_by, reason=why[:_MAX_FAILURE])
    _remove_parts(export)


def _remove_parts(export: Export) -> None:
    for made in export.parts.values_list("files", flat=True):
        files.remove(made.values())


def _order_facts(export: Export) -> dict[str, object]:
    return {
        "ledger": export.ledger.name,
        "size": export.size,
        "filters": export.filters,
        "formats": export.formats,
        "purpose": export.purpose,
        "case": export.case,
    }


def _made_facts(claim: Claim, sha256: str) -> dict[str, object]:
    return {
        "entries": claim.entries,
        "verdicts": claim.verdicts,
        "dataset_digest": claim.dataset_digest,
        "signer_certificate_sha256": claim.signer_certificate_sha256,
        "sha256": sha256,
    }


def _record(export: Export, step: str, *, by: str, **facts: object) -> None:
    outcome = "failure" if step == "failed" else "success"
    record_step(kind=f"export.{step}", target=str(export.pk), by=by, data=facts, outcome=outcome)
