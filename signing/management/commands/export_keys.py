"""`manage.py export_keys …`: keys and certificates of people who sign exports. Each step is one service call.

Prints the outcome, or the certificate or request alone, on standard output. Exit 0 done, 1 refused with one line.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import OperationalError

from signing import certificates, export_keys
from signing.errors import SigningError
from signing.management.accountability import accountable, add_accountability
from signing.management.teaching import TeachingCommand
from signing.models import ExportCertificate, SigningKey

if TYPE_CHECKING:
    from argparse import ArgumentParser

_HELP = """
Keys and certificates with which people sign their exports. Every step is recorded, with who and why, in the ledger
`keys`. A person has one key that signs; a new one takes its place at once.

  create    key and certificate of the built-in CA, which is made when it is first needed
  request   key, and a request (PKCS#10, PEM) for a CA of your own; install takes in what it answers
  import    key and certificate of a PKCS#12 file (.p12, .pfx)
  revoke    nobody signs with it any more; --stolen, if somebody else could have. A request for a certificate that has
            not come is withdrawn so

examples:
  ./auditlog export_keys create ada --name "Ada Lovelace" --reason "compliance officer"
  ./auditlog export_keys ca > ca.pem                    what those who verify exports pin
  ./auditlog export_keys request ada --reason "our own CA" > ada.csr
  ./auditlog export_keys install export-es256-… ada-and-issuers.pem --reason "our own CA"
  ./auditlog export_keys import ada ada.p12 --reason "smart card office"
  ./auditlog export_keys revoke export-es256-… --reason "left the company"

docs/export-keys.md explains it all.
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", metavar="STEP", title="steps (export_keys STEP --help tells more)")
        steps.add_parser("list", help="all export keys: whose, until when, which state")
        steps.add_parser("ca", help="the certificate of the built-in CA, in PEM")
        show = steps.add_parser("show", help="one certificate with those of its issuers, in PEM")
        show.add_argument("key", metavar="KEY")
        for name, summary in (("create", "key and certificate at once"), ("request", "key, and a request for a CA")):
            step = _of_person(steps, name, summary)
            step.add_argument("--name", default="", help="as the certificate says it (the account)")
            step.add_argument(
                "--algorithm", choices=certificates.EXPORT_ALGORITHMS, default=export_keys.DEFAULT_ALGORITHM
            )
            if name == "create":
                step.add_argument("--days", type=int, default=export_keys.SIGNER_DAYS, help="(%(default)s)")
            add_accountability(step)
        install = steps.add_parser("install", help="take in the certificate that was requested")
        install.add_argument("key", metavar="KEY")
        install.add_argument("file", type=Path, help="PEM: the certificate and those of its issuers")
        add_accountability(install)
        taken = _of_person(steps, "import", "key and certificate of a PKCS#12 file")
        taken.add_argument("file", type=Path)
        taken.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
        add_accountability(taken)
        revoke = steps.add_parser("revoke", help="nobody signs with it any more")
        revoke.add_argument("key", metavar="KEY")
        revoke.add_argument("--stolen", action="store_true", help="somebody else could have signed with it")
        add_accountability(revoke)

    def handle(self, *args: Any, **options: Any) -> None:
        step = getattr(self, f"_{options['step'] or 'list'}")
        try:
            step(options)
        except SigningError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"the file cannot be read: {error.strerror}") from error
        except OperationalError as error:
            raise CommandError(f"The database refused, nothing was changed: {str(error).splitlines()[0]}") from error

    def _list(self, options: dict[str, Any]) -> None:
        del options
        rows = list(ExportCertificate.objects.select_related("key"))
        if not rows:
            self.stdout.write("There are no export keys yet: ./auditlog export_keys create PERSON --reason …")
        for row in rows:
            self.stdout.write(f"{row.person or 'built-in CA':<24} {row.key_id:<32} {_state(row)}")

    def _ca(self, options: dict[str, Any]) -> None:
        del options
        row = ExportCertificate.objects.filter(key__purpose=SigningKey.Purpose.CA, key__state="active").last()
        if row is None or row.certificate is None:
            raise CommandError("There is no built-in CA yet: the first `export_keys create` makes it")
        self.stdout.write(certificates.to_pem([bytes(row.certificate)]).decode(), ending="")

    def _show(self, options: dict[str, Any]) -> None:
        row = ExportCertificate.objects.filter(key=options["key"]).first()
        if row is None or row.certificate is None:
            raise CommandError(
                f"{options['key']} has no certificate; `./auditlog export_keys list` shows those there are"
            )
        path = [bytes(row.certificate), *map(bytes, row.chain)]
        self.stdout.write(certificates.to_pem(path).decode(), ending="")

    def _create(self, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in ("person", "name", "algorithm", "days")}
        self._say(export_keys.certify(**given | accountable(options)))

    def _request(self, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in ("person", "name", "algorithm")}
        waiting, request = export_keys.request_certificate(**given | accountable(options))
        self.stdout.write(request.decode(), ending="")
        self.stderr.write(f"{waiting.key_id} waits: ./auditlog export_keys install {waiting.key_id} FILE --reason …")

    def _install(self, options: dict[str, Any]) -> None:
        content = options["file"].read_bytes()
        self._say(export_keys.add_certificate(key_id=options["key"], content=content, **accountable(options)))

    def _import(self, options: dict[str, Any]) -> None:
        content = options["file"].read_bytes()
        if options["password_stdin"]:
            password = sys.stdin.readline().rstrip("\n")
        else:
            password = getpass.getpass("Password of the PKCS#12 file: ")
        given: dict[str, Any] = {"person": options["person"], "content": content, "password": password}
        self._say(export_keys.import_pkcs12(**given | accountable(options)))

    def _revoke(self, options: dict[str, Any]) -> None:
        given: dict[str, Any] = {"key_id": options["key"], "stolen": options["stolen"]}
        row = export_keys.revoke(**given | accountable(options))
        if row.certificate is None:
            self.stdout.write(f"The request for a certificate of {row.key_id} is withdrawn: the key is destroyed.")
            return
        self.stdout.write(f"{row.key_id} is revoked: nothing is signed with it any more.")
        self.stdout.write("Tell those who verify: a file that was exported before does not know of it.")

    def _say(self, row: ExportCertificate) -> None:
        certificate = bytes(row.certificate or b"")
        said, root = certificates.facts(certificate), certificates.root_of(certificate, [*map(bytes, row.chain)])
        self.stdout.write(f"{row.key_id} signs the exports of {row.person} until {said.not_after:%Y-%m-%d}.")
        self.stdout.write(f"  {said.subject}, issued by {said.issuer}")
        self.stdout.write(f"  those who verify pin the CA: SHA-256 {certificates.fingerprint(root)}")


def _of_person(steps: Any, name: str, summary: str) -> ArgumentParser:
    step: ArgumentParser = steps.add_parser(name, help=summary)
    step.add_argument("person", metavar="PERSON", help="the account whose exports it signs")
    return step


def _state(row: ExportCertificate) -> str:
    if row.revoked_at is not None and row.certificate is None:
        return f"{row.key.state}, request withdrawn {row.revoked_at:%Y-%m-%d}"
    if row.revoked_at is not None:
        return f"{row.key.state}, revoked {row.revoked_at:%Y-%m-%d}"
    if row.certificate is None:
        return "waits for its certificate"
    return f"{row.key.state}, until {certificates.facts(bytes(row.certificate)).not_after:%Y-%m-%d}"
