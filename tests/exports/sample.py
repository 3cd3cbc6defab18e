"""The sample export of docs/sample: ordered from the application, stamped by an authority on this machine.

    docs/sample/export.asice            the container, as it is downloaded
    docs/sample/entries.csv …           LOOSE, the files out of it that people look at
    docs/sample/trust/fingerprint.txt   SHA-256 of ca.pem
    docs/sample/trust/ca.pem            what a verifier gets another way: the CA of the signer,
    docs/sample/trust/tsa.pem           the root of the time stamp authority,
    docs/sample/trust/trust.vkeys       the checkpoint keys of the ledger,
    docs/sample/trust/jwks.json         and the keys that sign entries

What is in it is fixed: events, amendment, filter, purpose. Ids, times, keys and signatures are new each time, for they
are those of a real installation, whose private keys are gone with it: nobody can sign a second sample with them.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.test import override_settings

from activity import amending
from activity.event import Event
from activity.models import ActivityLog
from activity.services import record_many
from exports import services
from exports.models import Export
from signing import certificates, export_keys, queries
from tests.exports.ordering import person
from tests.signing.local_tsa import local_tsa

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SAMPLE = Path(__file__).resolve().parents[2] / "docs" / "sample"
CONTAINER = "export.asice"
LOOSE = ("manifest.json", "entries.csv", "entries.json", "entries.ndjson", "report.pdf", "VERIFY.md")
TSA_DAYS = 30 * 365  # its certificates are looked at as of the time that it stamped; this is for people who forget it
PURPOSE = "Sample for auditors: failed logins of one morning"
CASE = "2026-17"
MORNING = datetime(2026, 11, 23, 8, tzinfo=UTC)
LOGIN = Event("auth.login", "login", "ann", MORNING, "shop", target="till", outcome="success", ip="192.0.2.7")
ORDER = Event("shop.order", "order", "ann", MORNING, "shop", target="order/1", outcome="success", data={"total": 12.5})
ACTORS = ("ann", "Björn", "chloé", '=HYPERLINK("http://evil.example/")')


def events() -> list[Event]:
    """Return a morning in a shop: logins, some of which fail, and orders."""
    made = []
    for number in range(36):
        at = MORNING + timedelta(minutes=7 * number)
        if number % 3 == 2:
            made.append(replace(ORDER, target=f"order/{number}", occurred_at=at, data={"total": 12.5 + number}))
            continue
        fails = number % 5 in {0, 3}
        made.append(
            replace(
                LOGIN,
                actor=ACTORS[number % len(ACTORS)],
                occurred_at=at,
                outcome="failure" if fails else "success",
                severity="warning" if fails else "info",
                data={"method": "password", "attempt": number % 5 + 1},
            )
        )
    return made


def make(directory: Path, scratch: Path) -> Export:
    """Make the sample in a directory, on the installation that the test has, and return the order."""
    signer = person("olivia", has_key=False)
    export_keys.certify(person="olivia", name="Olivia Example", by="ada", reason="compliance officer")
    record_many(events())
    _amend(by=signer)
    first = ActivityLog.objects.filter(type="auth.login").earliest("leaf_index").leaf_index
    filters = {"type": "auth.login", "outcome": "failure", "leaf_from": str(first)}
    formats = ("pdf", "csv", "ndjson", "json")
    with local_tsa(scratch, kind="ec", days=TSA_DAYS) as tsa, override_settings(AUDITLOG_TSA_URL=tsa.url):
        ordered = services.order(
            by=signer, ledger="activity", filters=filters, formats=formats, purpose=PURPOSE, case=CASE
        )
        services.work(export=ordered.export.pk)
    export = Export.objects.select_related("ledger").get(pk=ordered.export.pk)
    if export.state != Export.State.READY:
        raise RuntimeError(f"the sample was not made: {export.failure}")
    _write(directory, export, signer, tsa.root)
    return export


def _amend(*, by: User) -> None:
    """Correct a login that somebody typed in for another person, so that the sample has a second revision."""
    entry = ActivityLog.objects.filter(type="auth.login", outcome="failure").latest("leaf_index")
    amending.amend(entry_id=entry.pk, changes={"target": "back office"}, by=by, reason="the terminal was misnamed")


def _write(directory: Path, export: Export, by: User, tsa_root: Path) -> None:
    trust = directory / "trust"
    trust.mkdir(parents=True, exist_ok=True)
    with (directory / CONTAINER).open("wb") as container:
        container.writelines(services.download(export=export, by=by).pieces)
    for name in LOOSE:
        (directory / name).write_bytes(b"".join(services.download(export=export, by=by, name=name).pieces))
    ca = queries.export_signer(export.ordered_by).chain[-1]
    (trust / "ca.pem").write_bytes(certificates.to_pem([ca]))
    (trust / "fingerprint.txt").write_text(f"{certificates.fingerprint(ca)}\n")
    shutil.copy(tsa_root, trust / "tsa.pem")
    (trust / "trust.vkeys").write_text("".join(f"{key.vkey}\n" for key in queries.note_keys(export.ledger)))
    (trust / "jwks.json").write_text(json.dumps(queries.jwks(), indent=2) + "\n")
