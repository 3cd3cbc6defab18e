"""Export keys of people and their certificates: made, asked for, taken in, revoked. Writes; each step is a record.

    certify               key and certificate of the built-in CA, which is made when it is first needed
    request_certificate   key, and a request (PKCS#10) for a CA outside; add_certificate takes in what it answers
    withdraw              the request is not needed any more: its key is destroyed
    import_pkcs12         key and certificate of a PKCS#12 file
    revoke                nobody signs with it any more; stolen: what it signed proves nothing without a time stamp

A person has one key that signs; a new one retires the one before. Private halves are sealed as those of other keys. The
records are those of services.py; who may sign now, queries.export_signer tells.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from signing import certificates, issuing
from signing.certificates import Certified
from signing.errors import BadCertificateError, KeyStateError
from signing.key_steps import key_named, record_step, step_key, store_key
from signing.models import ExportCertificate, SigningKey
from signing.providers import PROVIDERS
from signing.queries import certified

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signing.providers import NewKey

DEFAULT_ALGORITHM = "ES256"
SIGNER_DAYS = 2 * 365
CA_DAYS = 10 * 365
MAX_NAME = 64  # RFC 5280: ub-common-name
_LOCAL = "local"
_CLOCK_SKEW = timedelta(minutes=5)
State = SigningKey.State
Purpose = SigningKey.Purpose


@transaction.atomic
def certify(
    *, person: str, by: str, reason: str, name: str = "", algorithm: str = DEFAULT_ALGORITHM, days: int = SIGNER_DAYS
) -> ExportCertificate:
    """Make an export key for somebody, with a certificate of the built-in CA, and return it.

    `person` is the account, `name` what the certificate says (the account if empty). It never outlives the CA's.
    """
    ca = _ca(by=by, reason=reason)
    key = _create(Purpose.EXPORT, algorithm, by=by, reason=reason)
    _assign(key, person, by=by, reason=reason)
    start = datetime.now(UTC)
    made = issuing.issue(
        name=_name(name or person),
        organization=settings.AUDITLOG_ORIGIN,
        public_key=bytes(key.public_key),
        not_before=start - _CLOCK_SKEW,
        not_after=min(start + timedelta(days=days), certificates.facts(ca.certificate).not_after),
        issuer=ca,
        algorithm=algorithm,
        sign=PROVIDERS[key.provider].signer(key),
    )
    return _put_to_work(key, made, (ca.certificate,), by=by, reason=reason)


@transaction.atomic
def request_certificate(
    *, person: str, by: str, reason: str, name: str = "", algorithm: str = DEFAULT_ALGORITHM
) -> tuple[ExportCertificate, bytes]:
    """Make an export key that waits for its certificate; return it and the request (PEM) for a CA outside."""
    key = _create(Purpose.EXPORT, algorithm, by=by, reason=reason)
    waiting = _assign(key, person, by=by, reason=reason)
    return waiting, certificate_request(waiting, name=name)


def certificate_request(waiting: ExportCertificate, *, name: str = "") -> bytes:
    """Return the request (PEM) of a key that waits for its certificate. Raises KeyStateError if it has one."""
    key = waiting.key
    if key.state != State.PRE_ACTIVE:
        raise KeyStateError(f"{key} is {key.state}: it waits for no certificate")
    return issuing.request(
        name=_name(name or waiting.person),
        organization=settings.AUDITLOG_ORIGIN,
        public_key=bytes(key.public_key),
        algorithm=key.algorithm,
        sign=PROVIDERS[key.provider].signer(key),
    )


@transaction.atomic
def add_certificate(*, key_id: str, content: bytes, by: str, reason: str) -> ExportCertificate:
    """Take in what a CA answered, in PEM with the certificates of its issuers, and put the key to work.

    Raises KeyStateError for a key that waits for none, BadCertificateError for another key's or one that may not sign.
    """
    key = _waiting(key_id)
    brought = certificates.read(content)
    own = next((one for one in brought if certificates.facts(one).public_key == bytes(key.public_key)), None)
    if own is None:
        raise BadCertificateError(f"no certificate in it is that of {key_id}")
    return _put_to_work(key, own, _complete_chain(own, brought), by=by, reason=reason)


@transaction.atomic
def withdraw(*, key_id: str, by: str, reason: str) -> ExportCertificate:
    """Withdraw the request for a certificate, destroy its key, and return it. Raises KeyStateError if none waits."""
    _waiting(key_id)
    return revoke(key_id=key_id, by=by, reason=reason)


@transaction.atomic
def import_pkcs12(*, person: str, content: bytes, password: str, by: str, reason: str) -> ExportCertificate:
    """Take in somebody's key and certificate from a PKCS#12 file and put them to work. Raises BadCertificateError."""
    private, own, others = certificates.open_pkcs12(content, password)
    said = certificates.require_signer_profile(own)
    chain = _complete_chain(own, others)
    made = SigningKey(id=_key_id(Purpose.EXPORT, said.algorithm), purpose=Purpose.EXPORT, algorithm=said.algorithm)
    made.provider = _LOCAL
    taken = PROVIDERS[_LOCAL].take(made.id, made.purpose, made.algorithm, private, said.public_key)
    key = _stored(made, taken, by=by, reason=reason)
    _assign(key, person, by=by, reason=reason)
    return _put_to_work(key, own, chain, by=by, reason=reason)


@transaction.atomic
def revoke(*, key_id: str, by: str, reason: str, stolen: bool = False) -> ExportCertificate:
    """Revoke a certificate, or withdraw the request for one, and return it. Nothing is signed with its key any more.

    Revoking that of the CA ends every certificate that it issued; the next `certify` makes another CA.
    """
    key, row = _locked(key_id)
    if row is None:
        raise KeyStateError(f"{key_id} is no export key")
    if row.revoked_at is not None:
        raise KeyStateError(f"the certificate of {key_id} is revoked already")
    row.revoked_at = datetime.now(UTC)
    row.save(update_fields=["revoked_at"])
    row.refresh_from_db()
    record_step("certificate.revoked", by=by, reason=reason, key=key_id)
    if stolen:
        step_key(key, State.COMPROMISED)
        record_step("key.compromised", by=by, reason=reason, key=key_id, windows={}, trusted_until={})
    elif key.state == State.PRE_ACTIVE:
        step_key(key, State.DESTROYED, sealed_private_key=None)
        record_step("key.destroyed", by=by, reason=reason, key=key_id)
    elif key.state == State.ACTIVE:
        _retire(key, by=by, reason=reason)
    return row


def _locked(key_id: str) -> tuple[SigningKey, ExportCertificate | None]:
    """Return a key and its certificate, which nobody else changes until the transaction ends."""
    row = ExportCertificate.objects.select_for_update().filter(key=key_id).first()
    return key_named(key_id), row  # the key as it is once the lock is ours


def _waiting(key_id: str) -> SigningKey:
    """Return a key that waits for its certificate, locked. Raises KeyStateError for any other."""
    key, _ = _locked(key_id)
    if key.purpose != Purpose.EXPORT or key.state != State.PRE_ACTIVE:
        raise KeyStateError(f"{key_id} is no export key that waits for a certificate")
    return key


def _ca(*, by: str, reason: str) -> Certified:
    """Return the built-in CA; the first one, and one after it expired or was revoked, is made here."""
    now = datetime.now(UTC)
    active = ExportCertificate.objects.filter(key__purpose=Purpose.CA, key__state=State.ACTIVE, revoked_at=None)
    for row in active.order_by("-created_at"):
        found = certified(row)
        if certificates.facts(found.certificate).not_after > now + timedelta(days=1):
            return found
    key = _create(Purpose.CA, DEFAULT_ALGORITHM, by=by, reason=reason)
    _assign(key, "", by=by, reason=reason)
    made = issuing.issue(
        name=f"{settings.AUDITLOG_ORIGIN} export CA"[:MAX_NAME],
        organization=settings.AUDITLOG_ORIGIN,
        public_key=bytes(key.public_key),
        not_before=now - _CLOCK_SKEW,
        not_after=now + timedelta(days=CA_DAYS),
        issuer=None,
        algorithm=DEFAULT_ALGORITHM,
        sign=PROVIDERS[key.provider].signer(key),
    )
    return certified(_put_to_work(key, made, (), by=by, reason=reason))


def _create(purpose: str, algorithm: str, *, by: str, reason: str) -> SigningKey:
    if algorithm not in certificates.EXPORT_ALGORITHMS:
        offered = ", ".join(certificates.EXPORT_ALGORITHMS)
        raise KeyStateError(f"no export is signed with {algorithm!r}; there are: {offered}")
    key = SigningKey(id=_key_id(purpose, algorithm), purpose=purpose, algorithm=algorithm, provider=_LOCAL)
    return _stored(key, PROVIDERS[_LOCAL].create(key.id, purpose, algorithm), by=by, reason=reason)


def _stored(key: SigningKey, made: NewKey, *, by: str, reason: str) -> SigningKey:
    stored = store_key(key, made, by=by, reason=reason)
    stored.refresh_from_db()
    return stored


def _key_id(purpose: str, algorithm: str) -> str:
    return f"{purpose}-{algorithm.lower()}-{secrets.token_hex(6)}"


def _assign(key: SigningKey, person: str, *, by: str, reason: str) -> ExportCertificate:
    if key.purpose == Purpose.EXPORT and not person.strip():
        raise KeyStateError("an export key belongs to somebody: name the account")
    row = ExportCertificate(key=key, person=person)
    row.save(force_insert=True)
    record_step("certificate.assigned", by=by, reason=reason, key=key.id, person=person)
    return row


def _put_to_work(
    key: SigningKey, certificate: bytes, chain: Sequence[bytes], *, by: str, reason: str
) -> ExportCertificate:
    """Set the certificate of a waiting key, activate it, and retire the person's other keys."""
    if key.purpose == Purpose.EXPORT:
        certificates.require_signer_profile(certificate)
    certificates.require_validity([certificate, *chain], datetime.now(UTC))
    row = ExportCertificate.objects.get(key=key)
    row.certificate, row.chain = certificate, list(chain)
    row.save(update_fields=["certificate", "chain"])
    encoded = [base64.b64encode(one).decode() for one in (certificate, *chain)]
    record_step("certificate.added", by=by, reason=reason, key=key.id, certificate=encoded[0], chain=encoded[1:])
    others = ExportCertificate.objects.filter(
        person=row.person, key__purpose=key.purpose, key__state=State.ACTIVE
    ).select_related("key")
    for other in others:
        _retire(other.key, by=by, reason=reason)
    step_key(key, State.ACTIVE)
    record_step("key.activated", by=by, reason=reason, key=key.id, windows={})
    return ExportCertificate.objects.select_related("key").get(key=key)


def _retire(key: SigningKey, *, by: str, reason: str) -> None:
    step_key(key, State.RETIRED)
    record_step("key.retired", by=by, reason=reason, key=key.id, windows={})


def _complete_chain(certificate: bytes, others: Sequence[bytes]) -> tuple[bytes, ...]:
    chain = certificates.sort_chain(certificate, others)
    try:
        certificates.require_chain(certificate, chain)
    except BadCertificateError as error:
        raise BadCertificateError(
            f"the certificates of its issuers, up to the root, are not all with it: {error}"
        ) from error
    return chain


def _name(text: str) -> str:
    name = text.strip()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise BadCertificateError(f"a certificate names somebody in 1 to {MAX_NAME} printable characters")
    return name
