"""`manage.py export`: order an export for somebody, make it here, write the file.

What it prints: progress on standard error, the result on standard output. Exit 0 done, 1 refused or failed, 130
interrupted: then the export is cancelled, for nobody expects that something is signed in his name after he said stop.
"""

from __future__ import annotations

import argparse
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError

from activity.errors import ActivityError
from exports import queries, services
from exports.errors import ExportError, ExportRefusedError
from exports.models import Export
from signing.errors import SigningError
from signing.management.accountability import operator
from signing.management.progress import ProgressLine
from signing.management.teaching import TeachingCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_INTERRUPTED = 130
_PATIENCE = 1.0  # seconds between two looks at what others make
_HELP = """
Export a part of a ledger as signed evidence. It is signed with the export key of an account, so that account must have
one, the right to export, and the ledger; who ran this command stands in the purpose.

How far it is stands on standard error. Ctrl-C cancels the export. A command that ends otherwise (the terminal closed, a
crash) leaves it under way: the server makes it, and the account finds it under Exports and may cancel it there.

examples:
  ./auditlog export activity --as ada --purpose "audit 2026" --format pdf --format csv --to /media/evidence
  ./auditlog export activity --as ada --purpose "case 17" --filter actor=bob --filter recorded_from=2026-11-01T00:00:00Z
  ./auditlog export activity --as ada --purpose "case 18" --filter leaf_indexes=3,7,12
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("ledger", metavar="LEDGER")
        parser.add_argument("--as", dest="account", required=True, metavar="NAME", help="the account that signs")
        parser.add_argument("--purpose", required=True, metavar="TEXT", help="why; stands on the first page")
        parser.add_argument("--case", default="", metavar="TEXT", help="case or file number")
        parser.add_argument(
            "--format",
            dest="formats",
            action="append",
            choices=Export.Format.values,
            help="may be given several times (csv)",
        )
        parser.add_argument(
            "--filter",
            dest="filters",
            action="append",
            default=[],
            metavar="NAME=TEXT",
            help="as a parameter of GET /api/v1/logs; may be given several times",
        )
        parser.add_argument("--to", type=Path, default=Path(), metavar="DIRECTORY", help="where the file goes (here)")

    def handle(self, *args: Any, **options: Any) -> None:
        account = User.objects.filter(username=options["account"], is_active=True).first()
        if account is None:
            raise CommandError(f"there is no open account {options['account']}")
        if not options["to"].is_dir():
            raise CommandError(f"{options['to']} is no directory")
        try:
            export = _ordered(account, options)
            try:
                with _ctrl_c() as require_no_stop:
                    self._make(export, require_no_stop)
                path = _taken(export, account, options["to"])
            except KeyboardInterrupt:
                raise CommandError(_stopped(export, account), returncode=_INTERRUPTED) from None
        except (ActivityError, ExportError, SigningError, PermissionDenied) as error:
            raise CommandError(str(error)) from error
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(export.verdicts.items()))
        self.stdout.write(f"{path}\n{export.entries or 0:,} entries ({counts or 'none'})\nSHA-256 {export.file_sha256}")
        if set(export.verdicts) - {"valid", "unsigned"}:
            self.stderr.write("some entries did not verify; each is marked in the export")

    def _make(self, export: Export, require_no_stop: Callable[[], None]) -> None:
        """Make it in this process; workers that run may help."""
        line, stage = ProgressLine(self.stderr), ""

        def show() -> None:
            nonlocal stage
            require_no_stop()
            now = Export.objects.get(pk=export.pk)
            far = queries.progress(now)
            if not now.waits_for:
                text = far.stage if far.is_joining else f"{far.percent} % of {far.leaves:,} leaves: {far.words}"
                line.show(text, is_news=far.stage != stage)
            stage = far.stage

        try:
            while export.is_open:
                services.work(export=export.pk, after_part=show)
                waited_for = export.waits_for
                export.refresh_from_db()
                if export.waits_for not in ("", waited_for):
                    line.end()
                    self.stderr.write(
                        f"{export.waits_for}; it is asked again until it answers (Ctrl-C cancels the export)"
                    )
                if export.is_open:
                    time.sleep(_PATIENCE)  # a worker has the last part
                    show()
        finally:
            line.end()
        require_no_stop()
        if export.state == Export.State.FAILED:
            raise ExportError(export.failure)


@contextmanager
def _ctrl_c() -> Iterator[Callable[[], None]]:
    """Give what raises KeyboardInterrupt if Ctrl-C came: one that is raised in a finaliser is lost."""
    came = False

    def come(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        came = True
        raise KeyboardInterrupt

    def require_none() -> None:
        if came:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield require_none  # in the background of a shell it is nothing to us
        return
    signal.signal(signal.SIGINT, come)
    try:
        yield require_none
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _ordered(account: User, options: dict[str, Any]) -> Export:
    return services.order(
        by=account,
        ledger=options["ledger"],
        filters=_filters(options["filters"]),
        formats=options["formats"] or [Export.Format.CSV],
        purpose=options["purpose"],
        case=options["case"],
        how=f"by command, {operator()}",
    ).export


def _taken(export: Export, account: User, directory: Path) -> Path:
    """Write the container into a directory and return its path; a half of it is not left there."""
    taken = services.download(export=export, by=account)
    path = directory / taken.name
    with path.open("xb") as file:
        try:
            file.writelines(taken.pieces)
        except BaseException:
            path.unlink()
            raise
    return path


def _stopped(export: Export, account: User) -> str:
    """Cancel an export, and return what became of it."""
    try:
        services.cancel(export=export, by=account)
    except ExportRefusedError:
        export.refresh_from_db()
        said = f"export {export.pk} was {export.state} already, and {account} finds it under Exports"
        return f"Stopped, and no file is written; {said}."
    return f"Stopped: export {export.pk} is cancelled, nothing of it is kept and no file is written."


def _filters(given: list[str]) -> dict[str, str]:
    filters = {}
    for one in given:
        name, separator, text = one.partition("=")
        if not separator or name in filters:
            raise CommandError(f"--filter takes NAME=TEXT, each name once: {one}")
        filters[name] = text
    return filters
