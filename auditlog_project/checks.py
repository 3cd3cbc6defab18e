"""System checks of settings and posture, with ids `auditlog.E0xx` and `auditlog.W0xx`.

    E001 master key   E002 AUDITLOG_UNKNOWN_TYPES   E003 AUDITLOG_MAX_DETACHED_BYTES   W004 no anchors (--deploy)
    E005 AUDITLOG_ON_TAMPERED   E006 AUDITLOG_NOTICE_WEBHOOKS   E007 AUDITLOG_WEBHOOK_SECRET
    E008 AUDITLOG_TSA_CERTIFICATES   E009 AUDITLOG_META_RETENTION_DAYS
    E080 AUDITLOG_TSA_URL
    E01x to E07x      posture/__init__.py; these ask the database: manage.py check --database default

A serving process does not start while any posture check fails; see wsgi.py and celery.py.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from auditlog_project import posture
from signing import certificates
from signing.errors import BadCertificateError, MasterKeyError
from signing.providers import master_key

_SHORTEST_SECRET = 24
_LARGEST_DETACHED_BYTES = 64 * 1024 * 1024
_SHORTEST_RETENTION = 365  # days


@register("auditlog")
def check_settings(**_: Any) -> list[CheckMessage]:
    """Return what is wrong with the settings of auditlog."""
    problems: list[CheckMessage] = []
    try:
        master_key()
    except MasterKeyError as error:
        problems.append(Error("There is no usable master key.", hint=str(error), id="auditlog.E001"))
    if settings.AUDITLOG_UNKNOWN_TYPES not in {"accept", "refuse"}:
        text = f"AUDITLOG_UNKNOWN_TYPES is {settings.AUDITLOG_UNKNOWN_TYPES!r}."
        problems.append(Error(text, hint='Set it to "accept" or "refuse".', id="auditlog.E002"))
    if not 0 <= settings.AUDITLOG_MAX_DETACHED_BYTES <= _LARGEST_DETACHED_BYTES:
        text = f"AUDITLOG_MAX_DETACHED_BYTES is {settings.AUDITLOG_MAX_DETACHED_BYTES}."
        hint = f"Set it to a number of bytes from 0 to {_LARGEST_DETACHED_BYTES}."
        problems.append(Error(text, hint=hint, id="auditlog.E003"))
    if settings.AUDITLOG_ON_TAMPERED not in {"flag", "block"}:
        text = f"AUDITLOG_ON_TAMPERED is {settings.AUDITLOG_ON_TAMPERED!r}."
        problems.append(Error(text, hint='Set it to "flag" or "block".', id="auditlog.E005"))
    problems += [
        Error(
            "An address of AUDITLOG_NOTICE_WEBHOOKS is not https.",
            hint="Give https://… addresses; http is for this machine's own (127.0.0.1, localhost, [::1]).",
            id="auditlog.E006",
        )
        for address in settings.AUDITLOG_NOTICE_WEBHOOKS
        if not _is_safe_address(address)
    ]
    if settings.AUDITLOG_NOTICE_WEBHOOKS and len(settings.AUDITLOG_WEBHOOK_SECRET) < _SHORTEST_SECRET:
        text = f"AUDITLOG_WEBHOOK_SECRET has less than {_SHORTEST_SECRET} characters."
        hint = (
            "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))' and give it to the receivers."
        )
        problems.append(Error(text, hint=hint, id="auditlog.E007"))
    if settings.AUDITLOG_TSA_URL and not _is_public_address(settings.AUDITLOG_TSA_URL):
        text = "AUDITLOG_TSA_URL is no plain address of the web."
        hint = "Give https://HOST/PATH without user, password and query: it stands in every export for all to read."
        problems.append(Error(text, hint=hint, id="auditlog.E080"))
    if settings.AUDITLOG_TSA_CERTIFICATES:
        try:
            certificates.read(Path(settings.AUDITLOG_TSA_CERTIFICATES).read_bytes())
        except (OSError, BadCertificateError) as error:
            text = f"AUDITLOG_TSA_CERTIFICATES cannot be used: {error}"
            hint = "Name a file with the certificates of time stamp authorities, in PEM."
            problems.append(Error(text, hint=hint, id="auditlog.E008"))
    if settings.AUDITLOG_META_RETENTION_DAYS < _SHORTEST_RETENTION:
        text = f"AUDITLOG_META_RETENTION_DAYS is {settings.AUDITLOG_META_RETENTION_DAYS}."
        hint = f"Set it to at least {_SHORTEST_RETENTION}: an audit trail stays at hand for a year (PCI DSS 10.5.1)."
        problems.append(Error(text, hint=hint, id="auditlog.E009"))
    return problems


def _is_safe_address(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"})


def _is_public_address(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
    return is_web and not any((parts.username, parts.password, parts.query, parts.fragment))


@register("auditlog", deploy=True)
def check_anchors(**_: Any) -> list[CheckMessage]:
    """Warn where no copy of a checkpoint leaves the database."""
    if settings.AUDITLOG_ANCHOR_DIR:
        return []
    text = "AUDITLOG_ANCHOR_DIR is not set: nobody can rule out that the whole database was set back."
    hint = "Name a directory outside the database server, which its administrators cannot change."
    return [checks.Warning(text, hint=hint, id="auditlog.W004")]


@register("auditlog", Tags.database)
def check_posture(*, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Return why serving processes would refuse this database. Asked for by --database default."""
    if "default" not in (databases or ()):
        return []
    problems = posture.serving_problems() or posture.continuity_problems()
    return [Error(problem.message, hint=problem.hint, id=problem.id) for problem in problems]
