"""`manage.py ledgers`: which Merkle trees there are, and where they stand. Exit 0 done, 1 refused."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError

from signing import queries, services
from signing.errors import SigningError
from signing.management.accountability import accountable, add_accountability
from signing.management.teaching import TeachingCommand
from signing.models import Ledger

_HELP = """
List the ledgers, and open new ones.

A ledger is a Merkle tree that only grows; every entry is a leaf of one. `activity` takes what is recorded without
naming a ledger, `meta` the accesses to the log, `keys` the steps in the life of keys. Further activity ledgers, one for
each tenant or source, let writers append in parallel. A ledger is never closed or renamed: its name stands in every
record and checkpoint. Opening one is recorded in the keys ledger, with who did it and why.

examples:
  ./auditlog ledgers list
  ./auditlog ledgers open shop-eu --reason "second tenant"
  ./auditlog ingest events.jsonl --ledger shop-eu
"""
_ROOT_SHOWN = 16  # hex digits


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|open")
        verbs.add_parser("list", help="name, kind, leaves, root and last checkpoint of each ledger")
        opening = verbs.add_parser("open", help="open an empty activity ledger")
        opening.add_argument("name", metavar="NAME", help="up to 63 of a-z, 0-9 and -")
        add_accountability(opening)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            self._list()
            return
        try:
            ledger = services.open_ledger(name=options["name"], **accountable(options))
        except SigningError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"ledger {ledger.name}: opened, its checkpoints say {ledger.origin}")

    def _list(self) -> None:
        rows = [_row(ledger) for ledger in Ledger.objects.order_by("pk")]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for name, kind, size, *rest in rows:
            line = [f"{name:{widths[0]}}", f"{kind:{widths[1]}}", f"{size:>{widths[2]}}", *rest]
            self.stdout.write("  ".join(line))


def _row(ledger: Ledger) -> tuple[str, ...]:
    head = queries.head(ledger)
    newest = queries.latest_checkpoint(ledger)
    signed = f"signed {newest.signed_at:%Y-%m-%d %H:%M:%S} UTC up to {newest.size:,}" if newest else "never signed"
    return (ledger.name, ledger.kind, f"{head.size:,} leaves", f"root {head.root().hex()[:_ROOT_SHOWN]}…", signed)
