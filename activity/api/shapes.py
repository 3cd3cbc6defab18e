"""JSON Schemas of what this API takes and gives, for the OpenAPI document. Limits come from where they are enforced.

A schema with a `title` becomes a component of that name; see auditlog_project/openapi.
"""

from __future__ import annotations

from typing import Any

from activity.amending import AMENDABLE, MAX_RULE
from activity.api.bodies import MAX_EVENTS
from activity.event import MAX_CHARACTERS, OUTCOMES, RESERVED_KEYS, SEVERITIES, TYPE_PATTERN
from activity.services import MAX_EXPLANATION
from signing.algorithms import ALGORITHMS
from signing.verdicts import Verdict

Shape = dict[str, Any]

_MAX_LEAF = 2**63 - 1
_KIND_OF_EVENT: Shape = {"type": "string", "maxLength": MAX_CHARACTERS["type"], "pattern": f"^{TYPE_PATTERN}$"}
LEAF_INDEX: Shape = {"type": "integer", "minimum": 0, "maximum": _MAX_LEAF}
HASH: Shape = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
MOMENT: Shape = {"type": "string", "format": "date-time"}
ENTRY_ID: Shape = {"type": "string", "format": "uuid"}
IP: Shape = {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}
LEDGER: Shape = {"type": "string", "minLength": 1, "maxLength": 63}
NOTE: Shape = {
    "type": "string",
    "description": "A signed note of C2SP tlog-checkpoint: origin, size, root, signatures.",
}
STRING: Shape = {"type": "string"}
COUNT: Shape = {"type": "integer", "minimum": 0}
BASE64URL: Shape = {"type": "string", "pattern": "^[A-Za-z0-9_-]*={0,2}$"}


def said(shape: Shape, description: str) -> Shape:
    """Return a schema with a description."""
    return {**shape, "description": description}


def nullable(shape: Shape) -> Shape:
    """Return a schema that also takes null."""
    return {"anyOf": [shape, {"type": "null"}]}


def object_of(title: str, description: str, properties: dict[str, Shape], *, optional: tuple[str, ...] = ()) -> Shape:
    """Return the schema of an object that has these properties and no other."""
    return {
        "title": title,
        "description": description,
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "properties": properties,
        "additionalProperties": False,
    }


def list_of(shape: Shape) -> Shape:
    """Return the schema of a list."""
    return {"type": "array", "items": shape}


def _text(name: str) -> Shape:
    return {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS[name]}


EVENT = object_of(
    "Event",
    "What a writer says happened.",
    {
        "type": said(
            {**_KIND_OF_EVENT, "not": {"pattern": "^auditlog\\."}},
            "Kind of event. Its log type says whether its entry is signed. `auditlog.*` is this application's own.",
        ),
        "action": said(_text("action"), "What was done."),
        "actor": said(_text("actor"), "Who did it."),
        "occurred_at": said(
            MOMENT, "When, by the writer's clock; with an offset, and at most six digits after the dot."
        ),
        "source": said(
            _text("source"), "Where the event comes from. An API key writes as its own source and may leave it out."
        ),
        "target": said({"type": "string", "maxLength": MAX_CHARACTERS["target"]}, "What it was done to."),
        "outcome": {"type": "string", "enum": list(OUTCOMES), "default": "unknown"},
        "severity": {"type": "string", "enum": list(SEVERITIES), "default": "info"},
        "ip": said(nullable(IP), "The address it came from, without a zone."),
        "event_id": said(
            nullable(_text("event_id")),
            "The writer's own id, once for ever in a ledger and source. It makes a retry safe.",
        ),
        "data": {
            "type": "object",
            "propertyNames": {"not": {"enum": sorted(RESERVED_KEYS)}},
            "additionalProperties": True,
            "default": {},
            "description": "Whatever belongs to it; comes back equal. Integers of 64 bits at most, at most 32 levels "
            "deep, no unpaired surrogates; no key on any level is `_sd`, `_sd_alg` or `...`.",
        },
    },
    optional=("source", "target", "outcome", "severity", "ip", "event_id", "data"),
)
EVENTS: Shape = {"anyOf": [EVENT, {**list_of(EVENT), "minItems": 1, "maxItems": MAX_EVENTS}]}
_REASON: Shape = {"type": "string", "minLength": 1, "maxLength": MAX_EXPLANATION, "description": "Why. Kept for ever."}
AMENDMENT = object_of(
    "Amendment",
    "What to change in an entry, and why.",
    {
        "reason": _REASON,
        "changes": {
            "type": "object",
            "properties": {name: EVENT["properties"][name] for name in AMENDABLE},
            "additionalProperties": False,
            "minProperties": 1,
        },
    },
)
REMOVAL = object_of(
    "Removal",
    "Why an entry is removed.",
    {"reason": _REASON, "rule": {"type": "string", "minLength": 1, "maxLength": MAX_RULE}},
)
LINES: Shape = {
    "type": "string",
    "description": "A line for each event: the JSON of an Event. Blank lines are skipped.",
}

RECEIPT = object_of(
    "Receipt",
    "That an event is recorded for good. Keep it: with it anybody can show later that the log was changed.",
    {
        "id": said(ENTRY_ID, "The entry."),
        "ledger": LEDGER,
        "leaf_index": said(LEAF_INDEX, "Its place in the ledger."),
        "leaf_hash": said(HASH, "SHA-256(0x00 ‖ record)."),
        "checkpoint": said(NOTE, "A checkpoint that covers the entry."),
        "duplicate": {
            "type": "boolean",
            "description": "Whether the event was there already: its first receipt, under a newer checkpoint.",
        },
    },
)
RECEIPTS = object_of("Receipts", "Receipts in the order of the events.", {"receipts": list_of(RECEIPT)})

_PLACE: dict[str, Shape] = {
    "id": ENTRY_ID,
    "ledger": LEDGER,
    "leaf_index": LEAF_INDEX,
    "verdict": said(
        {"title": "Verdict", "type": "string", "enum": [str(one) for one in Verdict]}, "What can be said of it now."
    ),
    "reasons": said(list_of({"type": "string"}), "Why it is not `valid`, or not `unsigned` and right."),
}
_COLUMNS: dict[str, Shape] = {
    "type": STRING,
    "action": STRING,
    "actor": STRING,
    "target": STRING,
    "outcome": STRING,
    "severity": STRING,
    "source": STRING,
    "ip": nullable(STRING),
    "event_id": nullable(STRING),
    "occurred_at": MOMENT,
    "recorded_at": said(MOMENT, "By the server's clock."),
    "revision": {"type": "integer", "minimum": 1},
    "locked": {"type": "boolean"},
    "locks": said(list_of({"type": "integer", "minimum": 1}), "The locks that hold it."),
    "locks_at": said(
        nullable(MOMENT), "The deadline of a retention policy; past it, changes are refused as of a locked entry."
    ),
    "kid": said(nullable(STRING), "The key that signed it, or null if its log type requires no signature."),
    "data": {"description": "The writer's object; whatever stands there, or null, if somebody changed the record."},
}
_BYTES: dict[str, Shape] = {
    "record": said(BASE64URL, "The exact bytes that were hashed and signed."),
    "detached_data": said(nullable(BASE64URL), "The bytes of `data`, where it was too large for the record."),
    "signature": said(nullable(BASE64URL), "The raw signature; `?format=jws` gives it as JWS."),
    "leaf_hash": HASH,
    "revisions": said(
        list_of(
            object_of(
                "Revision",
                "An earlier version of an entry.",
                {
                    "revision": {"type": "integer", "minimum": 1},
                    "leaf_index": LEAF_INDEX,
                    "leaf_hash": HASH,
                    "superseded_at": MOMENT,
                    "override": said(nullable({"type": "integer", "minimum": 1}), "Under which it was changed."),
                    "purged": said({"type": "boolean"}, "Whether its bytes were erased."),
                    "record": nullable(BASE64URL),
                },
            )
        ),
        "Earlier versions, the first one first.",
    ),
}
ENTRY = object_of("Entry", "An entry with what can be said of it now.", _PLACE | _COLUMNS)
WHOLE_ENTRY = object_of("WholeEntry", "An entry, its record and its signature.", _PLACE | _COLUMNS | _BYTES)
WITHHELD_ENTRY = object_of(
    "WithheldEntry", "An entry that was changed or is missing, where AUDITLOG_ON_TAMPERED is `block`.", _PLACE
)
PAGE = object_of(
    "Page",
    "Entries in the order asked for.",
    {
        "entries": list_of({"anyOf": [ENTRY, WITHHELD_ENTRY]}),
        "next": said(nullable(STRING), "The cursor of the next page; null at the end."),
        "scanned": {
            "type": "integer",
            "minimum": 0,
            "description": "With a filter on data: how many entries were looked through. A page may be empty and not "
            "be the last.",
        },
    },
    optional=("scanned",),
)
PROOF = object_of(
    "Proof",
    "That an entry is in its ledger (RFC 9162, 2.1.3).",
    {
        "id": ENTRY_ID,
        "ledger": LEDGER,
        "leaf_index": LEAF_INDEX,
        "leaf_hash": HASH,
        "tree_size": {"type": "integer", "minimum": 1},
        "root": HASH,
        "hashes": said({**list_of(HASH), "maxItems": 63}, "Siblings on the way to the root, leaf first."),
        "checkpoint": NOTE,
    },
)
LOG_TYPE = object_of(
    "LogType",
    "How events of one kind are kept. The longest pattern that matches a type counts.",
    {
        "pattern": said(STRING, "A type, or a prefix such as `auth.*`."),
        "requires_signature": {"type": "boolean"},
        "algorithm": {"type": "string", "enum": list(ALGORITHMS)},
        "description": STRING,
    },
)
LOG_TYPES = object_of("LogTypes", "All log types.", {"log_types": list_of(LOG_TYPE)})

_UNUSED_RECEIPT: dict[str, Shape] = {"duplicate": {}, "tree_size": {}, "root": {}}
_BROUGHT_PLACE: dict[str, Shape] = {
    "ledger": STRING,
    "leaf_index": LEAF_INDEX,
    "leaf_hash": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
    "checkpoint": NOTE,
}
EVIDENCE: Shape = {
    "title": "Evidence",
    "description": "One piece of evidence.",
    "oneOf": [
        object_of("JwsEvidence", "An entry as compact JWS.", {"jws": STRING}),
        object_of(
            "RecordEvidence",
            "A record and its signature, as `GET /api/v1/logs/{entry_id}` gives them.",
            {"record": BASE64URL, "signature": nullable(BASE64URL)},
        ),
        object_of(
            "ReceiptEvidence",
            "A receipt, as it came.",
            {
                "receipt": object_of(
                    "BroughtReceipt",
                    "A receipt; what is not needed may be left out.",
                    {"id": ENTRY_ID} | _BROUGHT_PLACE | _UNUSED_RECEIPT,
                    optional=tuple(_UNUSED_RECEIPT),
                )
            },
        ),
        object_of(
            "ProofEvidence",
            "A proof, as it came.",
            {
                "proof": object_of(
                    "BroughtProof",
                    "A proof; what is not needed may be left out.",
                    _BROUGHT_PLACE
                    | {"hashes": {**list_of(_BROUGHT_PLACE["leaf_hash"]), "maxItems": 63}, "id": {}}
                    | _UNUSED_RECEIPT,
                    optional=("id", *_UNUSED_RECEIPT),
                )
            },
        ),
        object_of(
            "TlogProofEvidence",
            "A C2SP tlog-proof and the record it proves.",
            {"tlog_proof": STRING, "record": BASE64URL},
        ),
        object_of("CheckpointEvidence", "A checkpoint.", {"checkpoint": NOTE}),
    ],
}
JUDGEMENT = object_of(
    "Judgement",
    "What can be said of a piece of evidence now.",
    {
        "verdict": _PLACE["verdict"],
        "reasons": said(list_of(STRING), "Why it is not valid."),
        "checked": said(list_of(STRING), "What was found right, step by step."),
    },
)
