"""The signature of an entry as a JSON Web Signature, in compact form.

    compact       = base64url(protected) . base64url(record) . base64url(signature)
    protected     = {"alg":"EdDSA","kid":"…","typ":"activity-entry"}       keys sorted, no white space
    signing input = base64url(protected) . base64url(record)

The row of an entry keeps record, key and raw signature; `protected` follows from the key and is never stored. A
verifier builds `protected` from its own row of the key and compares: `alg` of a message decides nothing.

Sources: RFC 7515 (compact serialisation), RFC 7517 and 7518 (JWK), RFC 8037 (Ed25519), RFC 9964 (ML-DSA).
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from signing.algorithms import ALGORITHMS
from signing.errors import BadJwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_TYPE = "activity-entry"
MAX_COMPACT_SIZE = 1 << 20
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_PARTS = 3

_JWK_BASE: dict[str, dict[str, str]] = {
    "Ed25519": {"kty": "OKP", "crv": "Ed25519"},
    "PS256": {"kty": "RSA"},
    "RS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "ML-DSA-65": {"kty": "AKP"},
}


@dataclass(frozen=True, slots=True)
class Jws:
    """A parsed compact JWS. Nothing in it is verified yet."""

    header: dict[str, object]
    payload: bytes
    signature: bytes
    signing_input: bytes


@lru_cache(maxsize=1024)
def protected(algorithm: str, kid: str) -> bytes:
    """Return the protected header of entries signed with this key; `algorithm` is our name ("Ed25519")."""
    header = {"alg": ALGORITHMS[algorithm].jose_name, "kid": kid, "typ": ENTRY_TYPE}
    return json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signing_input(protected: bytes, payload: bytes) -> bytes:
    """Return the bytes to sign."""
    return _encoded_header(protected) + base64url(payload)


def compact(protected: bytes, payload: bytes, signature: bytes) -> str:
    """Return the compact JWS that any JOSE library verifies."""
    return (signing_input(protected, payload) + b"." + base64url(signature)).decode("ascii")


def parse(compact: str) -> Jws:
    """Take a compact JWS apart without verifying it.

    Raises BadJwsError unless it has three canonical parts and a header with `alg` and `kid`, no key twice, and
    without `crit`: we know no extension (RFC 7515, 4.1.11).
    """
    if len(compact) > MAX_COMPACT_SIZE:
        raise BadJwsError(f"longer than {MAX_COMPACT_SIZE} bytes")
    parts = compact.split(".")
    if len(parts) != _PARTS:
        raise BadJwsError("a compact JWS has three parts")
    raw_header, payload, signature = map(_from_base64url, parts)
    return Jws(_parse_header(raw_header), payload, signature, compact.rpartition(".")[0].encode("ascii"))


def public_jwk(kid: str, algorithm: str, public_key: bytes) -> dict[str, str] | None:
    """Return the key for a JWKS (`algorithm` is our name), or None for HS256, which has no public half."""
    if not ALGORITHMS[algorithm].outsiders_can_verify:
        return None
    numbers = ALGORITHMS[algorithm].public_numbers(public_key)
    return {
        **_JWK_BASE[algorithm],
        "kid": kid,
        "alg": ALGORITHMS[algorithm].jose_name,
        "use": "sig",
        **{name: base64url(value).decode("ascii") for name, value in numbers.items()},
    }


def read_jwk(jwk: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return algorithm (our name) and public key of a JWK that `public_jwk` wrote.

    Raises BadJwsError unless it would write the same one, BadKeyError if the numbers are no key.
    """
    for algorithm, base in _JWK_BASE.items():
        alg = ALGORITHMS[algorithm].jose_name
        if jwk.get("alg") == alg and all(jwk.get(name) == value for name, value in base.items()):
            break
    else:
        raise BadJwsError("the JWK is of no algorithm that signs entries")
    rest = {name: value for name, value in jwk.items() if name not in {*base, "kid", "alg", "use"}}
    if not all(isinstance(value, str) for value in rest.values()):
        raise BadJwsError("a member of the JWK is no text")
    try:
        public = ALGORITHMS[algorithm].public_of_numbers({name: _from_base64url(text) for name, text in rest.items()})
    except KeyError as error:
        raise BadJwsError("the JWK has not the members of its algorithm") from error
    if public_jwk(str(jwk.get("kid")), algorithm, public) != jwk:
        raise BadJwsError("the JWK is not one of the log")
    return algorithm, public


def base64url(raw: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, 2). Written for speed: every signed record passes through."""
    return binascii.b2a_base64(raw, newline=False).replace(b"+", b"-").replace(b"/", b"_").rstrip(b"=")


@lru_cache(maxsize=1024)
def _encoded_header(protected: bytes) -> bytes:
    return base64url(protected) + b"."


def _from_base64url(text: str) -> bytes:
    """Decode canonical base64url only: two spellings of one signature would be two different JWS."""
    encoded = text.encode("ascii", "replace")
    try:
        raw = binascii.a2b_base64(encoded.translate(_FROM_URL) + b"=" * (-len(encoded) % 4))
    except binascii.Error as error:
        raise BadJwsError("not base64url") from error
    if base64url(raw) != encoded:
        raise BadJwsError("not the one spelling of base64url without padding")
    return raw


def _parse_header(raw: bytes) -> dict[str, object]:
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_object_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise BadJwsError("the protected header is not JSON") from error
    if not isinstance(header, dict):
        raise BadJwsError("the protected header is not a JSON object")
    for name in ("alg", "kid"):
        if not isinstance(header.get(name), str):
            raise BadJwsError(f"the protected header has no {name}")
    if "crit" in header:
        raise BadJwsError("the protected header demands an extension (crit)")
    return header


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJwsError("a key appears twice in the protected header")
    return members
