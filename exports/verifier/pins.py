"""What the user pins: certificates, checkpoint keys and entry keys that he got another way than with the export. Pure.

--trust 3f2a…                   SHA-256 of a certificate: of the CA, of a signer or of a time stamp authority
--trust ca.pem                  certificates, in PEM or DER
--trust trust.vkeys             checkpoint keys, a vkey a line: the trust file of the installation
--trust jwks.json               entry keys, as `/.well-known/jwks.json` gives them
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exports.errors import ExportError
from signing import certificates, jws, trust
from signing.algorithms import ALGORITHMS
from signing.errors import BadCertificateError, BadJwsError, BadKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from signing.algorithms import Verifier
    from signing.checkpoint import NoteKey

MAX_SIZE = 1 << 20
_FINGERPRINT = re.compile("[0-9a-f]{64}", re.ASCII)


class BadPinError(ExportError):
    """What was given as --trust is nothing that can be pinned."""


@dataclass(frozen=True, slots=True)
class EntryKey:
    """A public key that signs entries, and its JWK."""

    algorithm: str
    verify: Verifier
    jwk: dict[str, Any]


@dataclass(slots=True)
class Pins:
    """All that is pinned."""

    fingerprints: set[str] = field(default_factory=set)
    checkpoint_keys: list[NoteKey] = field(default_factory=list)
    entry_keys: dict[str, EntryKey] = field(default_factory=dict)

    def holds_one_of(self, path: Sequence[bytes]) -> bool:
        """Tell whether a certificate or one of its issuers (DER) is pinned."""
        return any(certificates.fingerprint(one) in self.fingerprints for one in path)


def read_pins(given: Iterable[str]) -> Pins:
    """Return the pins of --trust arguments. Raises BadPinError naming the one that is none."""
    pins = Pins()
    for text in given:
        fingerprint = text.replace(":", "").lower()
        if _FINGERPRINT.fullmatch(fingerprint):
            pins.fingerprints.add(fingerprint)
            continue
        try:
            with Path(text).open("rb") as source:
                raw = source.read(MAX_SIZE + 1)
        except OSError as error:
            raise BadPinError(
                f"{text}: no fingerprint (64 hexadecimal digits), and no file: {error.strerror}"
            ) from error
        add_pins(pins, raw, text)
    return pins


def add_pins(pins: Pins, raw: bytes, name: str) -> None:
    """Add what a file pins. Raises BadPinError."""
    if len(raw) > MAX_SIZE:
        raise BadPinError(f"{name}: larger than {MAX_SIZE:,} bytes")
    try:
        if raw.lstrip().startswith(b"{"):
            _add_entry_keys(pins, entry_keys(raw), name)
        elif raw.startswith(b"\x30") or b"-----BEGIN" in raw:
            pins.fingerprints |= {certificates.fingerprint(one) for one in certificates.read(raw)}
        else:
            pins.checkpoint_keys += trust.parse(raw.decode())
    except (BadCertificateError, BadKeyError, UnicodeDecodeError) as error:
        raise BadPinError(f"{name}: no certificate, trust file or JWK Set: {error}") from error


def _add_entry_keys(pins: Pins, keys: dict[str, EntryKey], name: str) -> None:
    for kid, key in keys.items():
        if pins.entry_keys.setdefault(kid, key).jwk != key.jwk:
            raise BadPinError(f"{name}: the key {kid!r} is pinned already, and is another one there")


def entry_keys(raw: bytes) -> dict[str, EntryKey]:
    """Return the keys of a JWK Set by id. Raises BadKeyError for what is none, or has two keys of one id."""
    try:
        keys = [(str(jwk["kid"]), _entry_key(jwk)) for jwk in json.loads(raw)["keys"]]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadKeyError("not a JWK Set") from error
    if len(dict(keys)) != len(keys):  # readers would differ about which of them it is
        raise BadKeyError("a key id is in it twice")
    return dict(keys)


def _entry_key(jwk: dict[str, Any]) -> EntryKey:
    try:
        algorithm, public = jws.read_jwk(jwk)
    except BadJwsError as error:
        raise BadKeyError(f"the key {jwk.get('kid')!r} cannot be read: {error}") from error
    return EntryKey(algorithm, ALGORITHMS[algorithm].load_public(public), jwk)
