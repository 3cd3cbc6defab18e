"""Judging exports that somebody brings, by the verification tool, believing what this installation knows of itself.

Pinned are its checkpoint keys (AUDITLOG_TRUST_FILE), its entry keys, the time stamp authorities that it believes
(AUDITLOG_TSA_CERTIFICATES), and the certificates of its people one by one, so that none counts whose key was stolen.
Whoever does not trust this server runs the tool himself, with pins of his own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING

from django.conf import settings

from exports import names, render_ndjson
from exports.container import is_container
from exports.verifier.files import check_files
from exports.verifier.loose import kind_of
from exports.verifier.pins import Pins, entry_keys
from signing import certificates, trust
from signing.models import ExportCertificate, SigningKey
from signing.queries import jwks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exports.verifier.report import Report

_ROWS = (b'{"record":{', b'{"record_base64":"')  # of NDJSON; a record in the API's own JSON is a text


def is_export(source: IO[bytes]) -> bool:
    """Tell whether a file is a container, a report, or another file of an export that says what it is."""
    source.seek(0)
    start = source.read(max(map(len, _ROWS)))
    kind = kind_of(source)
    source.seek(0)
    if kind == render_ndjson.NAME:
        return start.startswith(_ROWS)
    return is_container(start) or kind not in {None, names.CHECKPOINT}


def judge_export(source: IO[bytes], name: str) -> Report:
    """Return what can be said of a file that can be sought."""
    (report,) = judge_exports([(source, name)])
    return report


def judge_exports(given: Sequence[tuple[IO[bytes], str]]) -> list[Report]:
    """Return what can be said of several: a report for each container, and one for all other files together."""
    return check_files(given, own_pins())


def own_pins() -> Pins:
    """Return what this installation vouches for."""
    people = ExportCertificate.objects.filter(key__purpose=SigningKey.Purpose.EXPORT)
    known = people.exclude(key__state=SigningKey.State.COMPROMISED)
    found = known.exclude(certificate=None).values_list("certificate", flat=True)
    file = Path(settings.AUDITLOG_TRUST_FILE) if settings.AUDITLOG_TRUST_FILE else None
    vkeys = file.read_text() if file is not None and file.exists() else ""
    stamping = Path(settings.AUDITLOG_TSA_CERTIFICATES) if settings.AUDITLOG_TSA_CERTIFICATES else None
    authorities = [] if stamping is None else certificates.read(stamping.read_bytes())
    vouched = [*authorities, *(bytes(one) for one in found if one is not None)]
    return Pins(
        fingerprints={certificates.fingerprint(one) for one in vouched},
        checkpoint_keys=list(trust.parse(vkeys)) if vkeys else [],
        entry_keys=entry_keys(json.dumps(jwks()).encode()),
    )
