"""`manage.py keys …`: what an administrator does with keys. Each step is one service call, and a record of `keys`.

Prints the outcome on standard output. Exit 0 done, 1 refused with one line that says why and what to do.
"""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError

from signing import key_texts, services, trusted_anchors
from signing.algorithms import ALGORITHMS
from signing.errors import AnchorConflictError, KeyNotFoundError, SigningError
from signing.management.accountability import accountable, add_accountability
from signing.management.teaching import TeachingCommand
from signing.models import KeyWindow, LedgerHead, SigningKey

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from signing.trusted_anchors import TrustedAnchor

Purpose = SigningKey.Purpose
State = SigningKey.State

_HELP = """
See and change signing keys. Every step is recorded, with who and why, in the ledger `keys`.

  purpose     entry: signs single entries, one active key for each algorithm
              checkpoint: signs the state of whole ledgers; two may be active while one replaces the other
  state       active -> retired -> destroyed; compromised: known to be stolen, at any time
  algorithm   Ed25519 (the default), PS256, RS256, ES256, ML-DSA-65;
              HS256 is HMAC: not verifiable by outsiders, for whoever can verify can also sign

examples:
  ./auditlog keys list
  ./auditlog keys rotate --reason "yearly"                         the next Ed25519 entry key
  ./auditlog keys rotate --algorithm ML-DSA-65 --reason "tenders"  opens that slot, if it is empty
  ./auditlog keys rotate --purpose checkpoint --reason "yearly"    then hand out the vkeys it prints,
  ./auditlog keys retire checkpoint-ed25519-… --reason "yearly"    and end the overlap
  ./auditlog keys compromise entry-ed25519-… --since 2026-11-23T03:00Z --reason "laptop stolen"

docs/keys.md explains it all, also what to do when a key was stolen.
"""
_ROTATE = """
Make a key and put it to work in one step. The old entry key is retired at the leaf where the new one takes over; what
it signed stays valid for ever. An old checkpoint key goes on signing beside the new one until `keys retire`. Running
processes notice by themselves.
"""
_COMPROMISE = """
Say that a key was stolen. If it is active, a new one takes its place at once. What it signed stays valid up to the
last anchor (a copy of a checkpoint outside the database) that is older than the theft; from there on its entries are
reported as untrusted_key. Times inside the entries prove nothing: a thief chooses them.

  --since TIME    takes the newest anchor of each ledger in AUDITLOG_ANCHOR_DIR that was written before
  --anchor FILE   takes this one, for its ledger: better, if the thief could write to that directory
  --trust-nothing believes nothing that the key ever signed, in ledgers for which there is no anchor

May be run again with earlier anchors, never with later ones.
"""
_DESTROY = """
Erase the private half of a retired or compromised key, for good. What it signed stays verifiable with its public half;
HMAC has none, so entries of an HS256 key cannot be verified by anybody afterwards.
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        steps = parser.add_subparsers(dest="step", metavar="STEP", title="steps (keys STEP --help tells more)")
        steps.add_parser("list", help="all keys: state, since when, which leaves they sign")
        _key_step(steps, "show", "one key in full: public half, vkeys, its life", None)
        rotate = _described(steps, "rotate", "put a new key in the place of the active one", _ROTATE)
        rotate.add_argument("--purpose", choices=SigningKey.LOG_PURPOSES, default=Purpose.ENTRY, help="(entry)")
        rotate.add_argument("--algorithm", choices=list(ALGORITHMS), default="Ed25519", help="(Ed25519)")
        add_accountability(rotate)
        retire = _key_step(steps, "retire", "end the overlap of an old checkpoint key", None)
        add_accountability(retire)
        compromise = _key_step(steps, "compromise", "say that a key was stolen", _COMPROMISE)
        compromise.add_argument(
            "--since", metavar="TIME", help="when it happened at the earliest, as 2026-11-23T03:00Z"
        )
        compromise.add_argument("--anchor", metavar="FILE", type=Path, nargs="+", action="extend", default=[])
        compromise.add_argument("--trust-nothing", action="store_true")
        add_accountability(compromise)
        destroy = _key_step(steps, "destroy", "erase a private half for good", _DESTROY)
        destroy.add_argument("--yes", action="store_true", help="required, for it cannot be undone")
        add_accountability(destroy)

    def handle(self, *args: Any, **options: Any) -> None:
        step = getattr(self, f"_{options['step'] or 'list'}")
        try:
            step(options)
        except AnchorConflictError as error:
            raise CommandError(f"The step is recorded, but: {error}") from error
        except SigningError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The step is recorded, but no anchor could be written: {error}") from error
        except OperationalError as error:
            raise CommandError(f"The database refused, nothing was changed: {str(error).splitlines()[0]}") from error

    def _list(self, options: dict[str, Any]) -> None:
        keys = list(SigningKey.objects.all())
        self.stdout.write(key_texts.listing(keys) if keys else key_texts.NO_KEYS)

    def _show(self, options: dict[str, Any]) -> None:
        self.stdout.write(key_texts.details(_named_key(options["key"])))

    def _rotate(self, options: dict[str, Any]) -> None:
        purpose, algorithm = options["purpose"], options["algorithm"]
        slot = SigningKey.objects.filter(purpose=purpose, algorithm=algorithm)
        before = set(slot.filter(state=State.ACTIVE))
        key = services.rotate_key(purpose=purpose, algorithm=algorithm, **accountable(options))
        self._say_active(key)
        for old in slot.filter(pk__in=[old.pk for old in before]):
            if old.state == State.RETIRED:
                self.stdout.write(f"{old} is retired. What it signed stays valid.")
            else:
                self.stdout.write(f"{old} goes on signing beside it, until: ./auditlog keys retire {old} --reason …")
        if purpose == Purpose.CHECKPOINT:
            self._say_vkeys(key)

    def _retire(self, options: dict[str, Any]) -> None:
        key = services.retire_key(key_id=options["key"], **accountable(options))
        self.stdout.write(f"{key} is retired. The checkpoints that it signed stay valid.")

    def _compromise(self, options: dict[str, Any]) -> None:
        key = _named_key(options["key"])
        before = set(SigningKey.objects.filter(state=State.ACTIVE).values_list("pk", flat=True))
        trusted = _trusted(key, options)
        sizes = {name: anchor.size for name, anchor in trusted.items()}
        key = services.mark_compromised(key_id=key.id, trusted_until=sizes, **accountable(options))
        self.stdout.write(f"{key} is compromised.")
        for window in KeyWindow.objects.filter(key=key).select_related("ledger").order_by("ledger_id"):
            anchor = trusted.get(window.ledger.name)
            source = f" (anchor {anchor.path.name})" if anchor else ""
            self.stdout.write(f"  {window.ledger.name}: {_trust_text(window)}{source}")
        for replacement in SigningKey.objects.filter(state=State.ACTIVE).exclude(pk__in=before):
            self._say_active(replacement)
            if key.purpose == Purpose.CHECKPOINT:
                self._say_vkeys(replacement)
                self.stdout.write("and take out what pins the stolen key:")
                self._say_lines(key_texts.vkeys(key))

    def _destroy(self, options: dict[str, Any]) -> None:
        key = _named_key(options["key"])
        is_hmac = not ALGORITHMS[key.algorithm].outsiders_can_verify
        loss = " Nobody can verify what it signed afterwards, for HMAC has no public half." if is_hmac else ""
        if not options["yes"]:
            raise CommandError(f"This erases the private half of {key} for good.{loss} If you mean it, add --yes")
        services.destroy_key(key_id=key.id, **accountable(options))
        self.stdout.write(f"{key} is destroyed; older backups of the database may still hold its sealed private half.")

    def _say_active(self, key: SigningKey) -> None:
        note = "" if ALGORITHMS[key.algorithm].outsiders_can_verify else f" ({key_texts.HMAC})"
        self.stdout.write(f"{key} is active{note}: {'; '.join(key_texts.window_texts(key))}")

    def _say_vkeys(self, key: SigningKey) -> None:
        trust_file = f", also to {settings.AUDITLOG_TRUST_FILE}" if settings.AUDITLOG_TRUST_FILE else ""
        self.stdout.write(f"Hand these lines to everybody who verifies, for their trust files{trust_file}:")
        self._say_lines(key_texts.vkeys(key))

    def _say_lines(self, lines: list[str]) -> None:
        for line in lines:
            self.stdout.write(f"  {line}")


def _described(steps: Any, name: str, summary: str, text: str | None) -> ArgumentParser:
    step: ArgumentParser = steps.add_parser(
        name, help=summary, description=text or summary, formatter_class=RawDescriptionHelpFormatter
    )
    return step


def _key_step(steps: Any, name: str, summary: str, text: str | None) -> ArgumentParser:
    step = _described(steps, name, summary, text)
    step.add_argument("key", metavar="KEY", help="id of the key; keys list shows them")
    return step


def _named_key(key_id: str) -> SigningKey:
    key = SigningKey.objects.filter(pk=key_id).first()
    if key is None:
        raise KeyNotFoundError(f"there is no key {key_id!r}; `./auditlog keys list` shows them")
    return key


def _trusted(key: SigningKey, options: dict[str, Any]) -> dict[str, TrustedAnchor]:
    """Return the anchors up to which the key is believed, by ledger; refuse to distrust a ledger silently."""
    if not (options["since"] or options["anchor"] or options["trust_nothing"]):
        raise CommandError(
            "Up to when is the key believed? Give --since TIME or --anchor FILE; without an anchor that is older than "
            "the theft nothing that it signed can be believed, and --trust-nothing says so"
        )
    trusted: dict[str, TrustedAnchor] = {}
    try:
        if options["since"]:
            trusted |= trusted_anchors.older_than(_moment(options["since"]), _anchor_directory())
        trusted |= trusted_anchors.of_files(options["anchor"])
    except OSError as error:
        raise CommandError(f"Nothing was changed: {error}") from error
    signed_in = {window.ledger.name for window in KeyWindow.objects.filter(key=key) if _signed_any(window)}
    without = sorted(signed_in - trusted.keys())
    if without and not options["trust_nothing"]:
        raise CommandError(
            f"No anchor that is old enough was found for {', '.join(without)}: give --anchor FILE, or --trust-nothing "
            "to believe nothing that the key signed there"
        )
    return trusted


def _signed_any(window: KeyWindow) -> bool:
    end = window.until_leaf
    if end is None:
        end = LedgerHead.objects.get(ledger=window.ledger).size
    return end > window.first_leaf


def _anchor_directory() -> Path:
    if not settings.AUDITLOG_ANCHOR_DIR:
        raise CommandError("AUDITLOG_ANCHOR_DIR is not set, so --since finds no anchors: give --anchor FILE")
    return Path(settings.AUDITLOG_ANCHOR_DIR)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--since {text!r} is no time; write it as 2026-11-23T03:00Z") from None
    if moment.tzinfo is None:
        raise CommandError(f"--since {text!r} has no time zone; write it as 2026-11-23T03:00Z")
    if moment > datetime.now(UTC):
        raise CommandError(f"--since {text} lies in the future")
    return moment


def _trust_text(window: KeyWindow) -> str:
    """Say which of a compromised key's leaves stay valid."""
    first, end, distrusted = window.first_leaf, window.until_leaf or 0, window.untrusted_from_leaf or 0
    if window.key.purpose == Purpose.CHECKPOINT:
        return f"its checkpoints are believed up to {distrusted} leaves"
    if end <= first:
        return "it signed nothing here"
    if distrusted <= first:
        return f"nothing that it signed stays valid; its entries among leaves {first} to {end - 1} are untrusted_key"
    if distrusted >= end:
        return f"all that it signed stays valid, leaves {first} to {end - 1}"
    return (
        f"its entries stay valid up to leaf {distrusted - 1}; those among {distrusted} to {end - 1} are untrusted_key"
    )
