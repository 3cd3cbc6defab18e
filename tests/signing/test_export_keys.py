"""Export keys: how somebody comes by one, that only he signs with it, and that verification sees every step."""

import io
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import NameOID
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from signing import certificates, cms, export_keys, services
from signing.errors import BadCertificateError, ExportKeyError, KeyStateError
from signing.models import ExportCertificate, SigningKey
from signing.queries import export_signer, jwks
from tests.administrators import key_steps
from tests.clusters import Database
from tests.signing.installation import findings, unguarded, verify, wait_until
from tests.signing.issued import authority

pytestmark = pytest.mark.usefixtures("fresh_database")
DIGEST = bytes(32)
BY: dict[str, Any] = {"by": "tester", "reason": "a test"}


def certify(person: str = "ada", **options: Any) -> ExportCertificate:
    return export_keys.certify(person=person, **BY, **options)


def signs(person: str) -> str:
    """Sign as a person does and return the fingerprint of the certificate that did."""
    signer = export_signer(person)
    return certificates.fingerprint(cms.verify(cms.sign(DIGEST, signer, at=datetime.now(UTC)), DIGEST).certificate)


def outside_ca(public_key: object, *, name: str = "Ada") -> tuple[bytes, bytes]:
    """Return the certificate that a CA outside gives to a key, and the CA's own, in PEM."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Outside CA")])
    now = datetime.now(UTC)
    ends = (now - timedelta(days=1), now + timedelta(days=30))
    own = (
        x509.CertificateBuilder(issuer, issuer, ca_key.public_key(), 1, *ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)  # noqa: FBT003 X.509's own order
    made = (
        x509.CertificateBuilder(issuer, subject, public_key, 2, *ends)  # type: ignore[arg-type] # any public key
        .add_extension(usage, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM), own.public_bytes(Encoding.PEM)


def test_a_person_gets_a_key_of_the_built_in_ca_and_signs() -> None:
    row = certify(name="Ada Lovelace")
    signer = export_signer("ada")
    assert signs("ada") == signer.fingerprint
    said = certificates.require_signer_profile(signer.certificate)
    assert said.subject == "CN=Ada Lovelace,O=auditlog.test"
    certificates.require_chain(signer.certificate, signer.chain)
    assert row.key.sealed_private_key is not None
    assert findings(verify()) == []


def test_everybody_has_a_key_of_his_own_under_one_ca() -> None:
    certify("ada")
    certify("bob", algorithm="RS256")
    assert export_signer("ada").chain == export_signer("bob").chain
    assert signs("ada") != signs("bob")
    assert export_signer("bob").algorithm == "RS256"


def test_a_new_key_retires_the_one_before() -> None:
    first = certify()
    before = signs("ada")
    certify()
    assert signs("ada") != before
    first.key.refresh_from_db()
    assert first.key.state == "retired"
    assert findings(verify()) == []


def test_who_has_no_key_is_told_what_to_do() -> None:
    with pytest.raises(ExportKeyError, match="eve has no export key"):
        export_signer("eve")


def test_a_revoked_certificate_signs_nothing() -> None:
    row = certify()
    export_keys.revoke(key_id=row.key_id, **BY)
    with pytest.raises(ExportKeyError, match="was revoked on"):
        export_signer("ada")
    with pytest.raises(KeyStateError, match="already"):
        export_keys.revoke(key_id=row.key_id, **BY)
    assert findings(verify()) == []


def test_a_stolen_key_is_compromised() -> None:
    row = certify()
    export_keys.revoke(key_id=row.key_id, stolen=True, **BY)
    row.key.refresh_from_db()
    assert row.key.state == "compromised"
    assert findings(verify()) == []


def test_an_expired_certificate_signs_nothing() -> None:
    certify(days=10)
    export_signer("ada", at=datetime.now(UTC) + timedelta(days=9))
    with pytest.raises(ExportKeyError, match="expired or not valid yet: CN=ada,O=auditlog"):
        export_signer("ada", at=datetime.now(UTC) + timedelta(days=11))


def test_a_revoked_ca_ends_what_it_issued_and_another_one_follows() -> None:
    certify()
    ca = ExportCertificate.objects.get(person="")
    export_keys.revoke(key_id=ca.key_id, **BY)
    with pytest.raises(ExportKeyError, match="the CA that certified ada was revoked"):
        export_signer("ada")
    certify()
    assert export_signer("ada").chain[0] != bytes(ca.certificate or b"")
    assert findings(verify()) == []


def test_a_ca_outside_certifies_a_key_that_never_leaves() -> None:
    waiting, request = export_keys.request_certificate(person="ada", **BY)
    with pytest.raises(ExportKeyError, match="waits for its certificate"):
        export_signer("ada")
    own, ca = outside_ca(x509.load_pem_x509_csr(request).public_key())
    row = export_keys.add_certificate(key_id=waiting.key_id, content=own + ca, **BY)
    assert row.key.state == "active"
    assert signs("ada") == certificates.fingerprint(certificates.read(own)[0])
    assert findings(verify()) == []


def test_a_certificate_of_another_key_or_without_its_issuer_is_refused() -> None:
    waiting, request = export_keys.request_certificate(person="ada", **BY)
    other, ca = outside_ca(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(BadCertificateError, match="is that of export-es256"):
        export_keys.add_certificate(key_id=waiting.key_id, content=other + ca, **BY)
    own, _ = outside_ca(x509.load_pem_x509_csr(request).public_key())
    with pytest.raises(BadCertificateError, match="up to the root"):
        export_keys.add_certificate(key_id=waiting.key_id, content=own + ca, **BY)
    assert ExportCertificate.objects.get(key=waiting.key_id).certificate is None


def test_a_request_can_be_withdrawn() -> None:
    waiting, request = export_keys.request_certificate(person="ada", **BY)
    export_keys.withdraw(key_id=waiting.key_id, **BY)
    assert SigningKey.objects.get(pk=waiting.key_id).sealed_private_key is None
    assert [name for name, _, _ in key_steps()][-2:] == ["certificate.revoked", "key.destroyed"]
    assert findings(verify()) == []
    own, ca = outside_ca(x509.load_pem_x509_csr(request).public_key())
    with pytest.raises(KeyStateError, match="no export key that waits"):
        export_keys.add_certificate(key_id=waiting.key_id, content=own + ca, **BY)
    with pytest.raises(ExportKeyError, match="ada has no export key"):
        export_signer("ada")


def test_only_a_request_is_withdrawn() -> None:
    row = certify()
    with pytest.raises(KeyStateError, match="no export key that waits"):
        export_keys.withdraw(key_id=row.key_id, **BY)
    assert signs("ada") == certificates.fingerprint(bytes(row.certificate or b""))


def test_a_withdrawn_request_does_not_hide_what_became_of_the_key_before() -> None:
    export_keys.revoke(key_id=certify().key_id, **BY)
    waiting, _ = export_keys.request_certificate(person="ada", **BY)
    export_keys.withdraw(key_id=waiting.key_id, **BY)
    with pytest.raises(ExportKeyError, match="the certificate of ada was revoked on"):
        export_signer("ada")


def test_the_key_of_a_request_is_not_destroyed_without_withdrawing_it() -> None:
    waiting, _ = export_keys.request_certificate(person="ada", **BY)
    with pytest.raises(KeyStateError, match="withdraw the request"):
        services.destroy_key(key_id=waiting.key_id, **BY)


def test_a_certificate_that_comes_in_the_same_moment_keeps_its_key() -> None:
    """Whoever withdraws waits for whoever brings it, and then sees a key that is at work."""
    waiting, request = export_keys.request_certificate(person="ada", **BY)
    own, ca = outside_ca(x509.load_pem_x509_csr(request).public_key())
    refused: list[KeyStateError] = []

    def withdraw() -> None:
        try:
            export_keys.withdraw(key_id=waiting.key_id, **BY)
        except KeyStateError as error:
            refused.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=withdraw)
    with transaction.atomic():
        export_keys.add_certificate(key_id=waiting.key_id, content=own + ca, **BY)
        other.start()
        wait_until(_somebody_waits)
    other.join()
    assert len(refused) == 1
    assert signs("ada") == certificates.fingerprint(certificates.read(own)[0])


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_locks waiting JOIN pg_locks held USING (pid) JOIN pg_database d ON d.oid = held.database "
            "WHERE NOT waiting.granted AND d.datname = current_database()"
        )
        return bool(cursor.fetchall())


def pkcs12_file(tmp_path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    own, ca = (x509.load_pem_x509_certificate(one) for one in outside_ca(key.public_key()))
    path = tmp_path / "ada.p12"
    path.write_bytes(pkcs12.serialize_key_and_certificates(b"ada", key, own, [ca], BestAvailableEncryption(b"secret")))
    return path


def test_a_pkcs12_file_is_imported_and_sealed(tmp_path: Path) -> None:
    content = pkcs12_file(tmp_path).read_bytes()
    with pytest.raises(BadCertificateError, match="another password"):
        export_keys.import_pkcs12(person="ada", content=content, password="wrong", **BY)
    row = export_keys.import_pkcs12(person="ada", content=content, password="secret", **BY)
    assert signs("ada") == certificates.fingerprint(bytes(row.certificate or b""))
    assert findings(verify()) == []


def test_keys_of_people_are_no_keys_of_the_log() -> None:
    row = certify()
    assert row.key_id not in {key["kid"] for key in jwks()["keys"]}
    with pytest.raises(KeyStateError, match="no purpose"):
        services.create_key(purpose="export", algorithm="ES256", **BY)
    with pytest.raises(KeyStateError, match="revoking its certificate"):
        services.retire_key(key_id=row.key_id, **BY)
    with pytest.raises(KeyStateError, match="--stolen"):
        services.mark_compromised(key_id=row.key_id, trusted_until={}, **BY)


@pytest.mark.parametrize("name", ["", " ", "x" * 65, "a\nb"])
def test_a_certificate_names_somebody(name: str) -> None:
    with pytest.raises((BadCertificateError, KeyStateError)):
        export_keys.certify(person=name, **BY)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE export_certificates SET certificate = decode('00', 'hex')",
        "UPDATE export_certificates SET chain = '{}'",
        "UPDATE export_certificates SET revoked_at = NULL",
        "UPDATE export_certificates SET person = 'eve'",
        "DELETE FROM export_certificates",
        "TRUNCATE export_certificates",
        "INSERT INTO export_certificates (key_id, person, chain) SELECT min(id), 'eve', '{}' FROM signing_keys",
    ],
)
def test_the_database_refuses_what_is_no_step(fresh_database: Database, statement: str) -> None:
    row = certify()
    export_keys.revoke(key_id=row.key_id, **BY)
    for session in (fresh_database.app(), fresh_database.owner()):
        with pytest.raises(psycopg.Error) as refused:
            session.execute(statement)
        assert refused.value.sqlstate in {"AL001", "AL005", "42501"}


def test_a_person_changed_behind_the_guards_is_noticed(fresh_database: Database) -> None:
    row = certify()
    with unguarded(fresh_database, "export_certificates") as superuser:
        superuser.execute("UPDATE export_certificates SET person = 'eve' WHERE person = 'ada'")
    said = f"keys: tampered: the certificate of {row.key_id} is not what the keys ledger says"
    assert findings(verify()) == [said]


def test_a_certificate_swapped_behind_the_guards_is_noticed(fresh_database: Database) -> None:
    row = certify()
    with unguarded(fresh_database, "export_certificates") as superuser:
        superuser.execute(
            "UPDATE export_certificates SET certificate = %s WHERE person = 'ada'", [authority().certificate]
        )
    assert findings(verify()) == [f"keys: tampered: the certificate of {row.key_id} is not what the keys ledger says"]


# The command


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("export_keys", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_command_goes_through_the_life_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = ("--reason", "a test", "--by", "tester")
    assert "There are no export keys yet" in run("list")
    with pytest.raises(CommandError, match="no built-in CA yet"):
        run("ca")
    said = run("create", "ada", "--name", "Ada Lovelace", *why)
    assert "signs the exports of ada until" in said
    root = certificates.read(run("ca").encode())[0]
    assert certificates.fingerprint(root) in said
    (tmp_path / "ada.csr").write_text(run("request", "ada", *why))
    waiting = ExportCertificate.objects.get(certificate=None)
    own, ca = outside_ca(x509.load_pem_x509_csr((tmp_path / "ada.csr").read_bytes()).public_key())
    (tmp_path / "ada.pem").write_bytes(own + ca)
    assert "Outside CA" in run("install", waiting.key_id, str(tmp_path / "ada.pem"), *why)
    assert certificates.read(run("show", waiting.key_id).encode()) == certificates.read(own + ca)
    monkeypatch.setattr("sys.stdin", io.StringIO("secret\n"))
    assert "Outside CA" in run("import", "ada", str(pkcs12_file(tmp_path)), "--password-stdin", *why)
    assert "is revoked" in run("revoke", export_key_of("ada"), *why)
    listing = run("list")
    assert listing.count("retired") == 3
    assert "built-in CA" in listing
    with pytest.raises(CommandError, match="revoked already"):
        run("revoke", ExportCertificate.objects.exclude(revoked_at=None).get().key_id, *why)
    with pytest.raises(CommandError, match="cannot be read"):
        run("install", waiting.key_id, str(tmp_path / "missing"), *why)


def test_the_command_says_that_a_request_is_withdrawn() -> None:
    waiting, _ = export_keys.request_certificate(person="ada", **BY)
    said = run("revoke", waiting.key_id, "--reason", "asked twice")
    assert said == f"The request for a certificate of {waiting.key_id} is withdrawn: the key is destroyed.\n"
    assert "destroyed, request withdrawn 20" in run("list")


def export_key_of(person: str) -> str:
    return ExportCertificate.objects.get(person=person, key__state="active").key_id
