"""From what somebody brings, in JSON or as a text, to its judgement by evidence.py.

One of these in a JSON object:
    {"jws": "…"}                                                     an entry as compact JWS
    {"record": "…", "signature": "…" or null}                        both in base64url, as GET /logs/{id} gives them
    {"receipt": {"id", "ledger", "leaf_index", "leaf_hash", "checkpoint"}}            as POST /logs gave it
    {"proof": {"ledger", "leaf_index", "leaf_hash", "hashes", "checkpoint"}}          as GET …/proof gives it
    {"tlog_proof": "…", "record": "…"}                               C2SP tlog-proof, and the record in base64url
    {"checkpoint": "…"}                                              a signed note

A text is such an object, an answer of the API that holds one of them, or a JWS, checkpoint or tlog-proof as it is.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from activity import evidence, strict_json
from activity.errors import BadEvidenceError, BadJsonError
from activity.evidence import Judgement
from signing import tlog_proof
from signing.merkle import HASH_SIZE

_KINDS = (
    ("jws",),
    ("record", "signature"),
    ("receipt",),
    ("proof",),
    ("tlog_proof", "record"),
    ("checkpoint",),
)
_MAX_HASHES = 63
_SIGNED_NOTE = "\n\n\u2014 "  # what stands between the text of a note and its signatures
_DOTS_OF_JWS = 2
_MAX_LEAF = 2**63 - 1
_UNUSED = {"duplicate", "id", "tree_size", "root"}  # what our own answers hold beside


def judge_text(text: str, *, record: str = "") -> Judgement:
    """Judge what somebody pastes or uploads, whatever it is; `record` in base64url goes with a tlog-proof.

    Raises as `judge`.
    """
    text = text.strip().replace("\r\n", "\n")
    if text.startswith("{"):
        try:
            said = strict_json.parse(text.encode())
        except BadJsonError as error:
            raise BadEvidenceError(f"this begins like JSON and is none: {error}") from error
        return judge(_recognised(said))
    if text.startswith(tlog_proof.HEADER):
        return judge({"tlog_proof": f"{text}\n", "record": record.strip()})
    if _SIGNED_NOTE in text:
        return judge({"checkpoint": f"{text}\n"})
    if text.count(".") == _DOTS_OF_JWS and not text.count(" "):
        return judge({"jws": "".join(text.split())})
    raise BadEvidenceError("this is no JWS, receipt, proof, checkpoint or entry that we know")


def _recognised(said: Any) -> object:
    """Return the object of a kind that is in an answer of the API: an entry, a receipt or a proof."""
    if not isinstance(said, dict):
        return said
    if "record" in said and "signature" in said:
        return {"record": said["record"], "signature": said["signature"]}
    if "receipts" in said and isinstance(said["receipts"], list) and len(said["receipts"]) == 1:
        said = said["receipts"][0]
    if "hashes" in said:
        return {"proof": said}
    return {"receipt": said} if "leaf_index" in said else said


def judge(said: object) -> Judgement:
    """Judge one JSON value. Raises BadEvidenceError for what is none of the above, SigningError for a broken piece."""
    if not isinstance(said, dict) or tuple(sorted(said)) not in {tuple(sorted(kind)) for kind in _KINDS}:
        kinds = "; ".join(" and ".join(kind) for kind in _KINDS)
        raise BadEvidenceError(f"send a JSON object with one of these: {kinds}")
    if "tlog_proof" in said:
        return evidence.judge_tlog_proof(_text(said, "tlog_proof"), _bytes(said, "record"))
    if "record" in said:
        signature = None if said["signature"] is None else _bytes(said, "signature")
        return evidence.judge_record(_bytes(said, "record"), signature)
    if "jws" in said:
        return evidence.judge_jws(_text(said, "jws"))
    if "checkpoint" in said:
        return evidence.judge_checkpoint(_text(said, "checkpoint"))
    return _receipt(said["receipt"]) if "receipt" in said else _proof(said["proof"])


def _receipt(said: object) -> Judgement:
    told = _object(said, "receipt", ("id", "ledger", "leaf_index", "leaf_hash", "checkpoint"))
    return evidence.judge_receipt(
        entry=evidence.entry_id(_text(told, "id")),
        ledger=_text(told, "ledger"),
        leaf_index=_leaf_index(told),
        hash_of_leaf=_hash(told["leaf_hash"], "leaf_hash"),
        note=_text(told, "checkpoint"),
    )


def _proof(said: object) -> Judgement:
    told = _object(said, "proof", ("ledger", "leaf_index", "leaf_hash", "hashes", "checkpoint"))
    hashes = told["hashes"]
    if not isinstance(hashes, list) or len(hashes) > _MAX_HASHES:
        raise BadEvidenceError(f"hashes must be a list of at most {_MAX_HASHES} hashes")
    return evidence.judge_proof(
        ledger=_text(told, "ledger"),
        leaf_index=_leaf_index(told),
        hash_of_leaf=_hash(told["leaf_hash"], "leaf_hash"),
        hashes=[_hash(one, f"hashes[{place}]") for place, one in enumerate(hashes)],
        note=_text(told, "checkpoint"),
    )


def _object(said: object, name: str, members: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise BadEvidenceError(f"{name} must be an object")
    missing = [member for member in members if member not in said]
    unknown = [member for member in said if member not in members and member not in _UNUSED]
    if missing or unknown:
        parts = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has the unknown {', '.join(unknown)}"] * bool(
            unknown
        )
        raise BadEvidenceError(f"{name} {' and '.join(parts)}")
    return said


def _text(said: dict[str, Any], name: str) -> str:
    if not isinstance(said[name], str):
        raise BadEvidenceError(f"{name} must be a string")
    return str(said[name])


def _leaf_index(said: dict[str, Any]) -> int:
    leaf_index = said["leaf_index"]
    if type(leaf_index) is not int or not 0 <= leaf_index <= _MAX_LEAF:
        raise BadEvidenceError("leaf_index must be a whole number from 0 on")
    return leaf_index


def _hash(said: object, name: str) -> bytes:
    try:
        raw = bytes.fromhex(said) if isinstance(said, str) and said.isascii() else b""
    except ValueError:
        raw = b""
    if len(raw) != HASH_SIZE:
        raise BadEvidenceError(f"{name} must be {2 * HASH_SIZE} hexadecimal digits")
    return raw


def _bytes(said: dict[str, Any], name: str) -> bytes:
    text = _text(said, name)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadEvidenceError(f"{name} must be base64url") from None
