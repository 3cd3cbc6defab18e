"""What an export says of itself: the claim, and the manifest, which is the claim with the list of files. Pure.

    claim.json      {"format":"auditlog-export-claim/2", what was exported, by whom, when, why, from which tree, …}
    manifest.json   {"format":"auditlog-export-manifest/1","claim":{…},"files":[{"name","media_type","sha256","size"}]}

The claim is embedded in the PDF, whose hash stands in the manifest. JSON, UTF-8, members sorted, two spaces of
indentation, a newline at the end: of each there is one spelling, and another one is refused when it is read. The
sentences of a claim belong to the format as its names do (claim_words.py): other words need another format. What the
first format says rightly stays in it, so that verifiers which know no other one take it.

    dataset digest = SHA-256(record || 0x0A, of every exported entry, in leaf order)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from typing import Any

from exports import claim_words
from exports.claim_words import FIRST, SECOND
from exports.errors import BadManifestError

MANIFEST_FORMAT = "auditlog-export-manifest/1"
HASH_ALGORITHM = "SHA-256"
LEAF_ORDER = "leaf_index"
NAMED_LEAVES = "leaf_indexes"  # a filter
MAX_SIZE = 16 * 1024 * 1024
_HASH = re.compile("[0-9a-f]{64}", re.ASCII)
_LEAVES = re.compile("[0-9]{1,19}(,[0-9]{1,19})*", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an export claims. Hashes are lower-case hex, times RFC 3339 in UTC with six digits.

    `filters` is the query, as the log API takes it. `complete_range` is [first, end): within it no leaf is left out
    unseen, and `withheld` counts those that the filter left out; both are None where the filter has no range.
    `in_first_words` is an export with marked entries that was made before they had words of their own.
    """

    export_id: str
    exported_at: str
    exported_by: str
    purpose: str
    case: str
    filters: dict[str, str]
    ledger: str
    origin: str
    ledger_size: int
    root: str
    entries: int
    first_leaf: int | None
    last_leaf: int | None
    complete_range: tuple[int, int] | None
    withheld: int | None
    dataset_digest: str
    verdicts: dict[str, int]
    software: str
    signer_certificate_sha256: str
    time_stamp_authority: str | None
    redaction: str | None = None
    order: str = LEAF_ORDER
    hash_algorithm: str = HASH_ALGORITHM
    in_first_words: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be. Raises BadManifestError."""
        for name, kinds in _KINDS.items():
            value = getattr(self, name)
            if type(value) not in kinds:
                raise BadManifestError(f"claim: {name} is {type(value).__name__}")
        for name in ("root", "dataset_digest", "signer_certificate_sha256"):
            if not _HASH.fullmatch(getattr(self, name)):
                raise BadManifestError(f"claim: {name} is not 64 hexadecimal digits")
        if not _TIME.fullmatch(self.exported_at):
            raise BadManifestError("claim: exported_at is not a time in UTC with six digits")
        if self.order != LEAF_ORDER or self.hash_algorithm != HASH_ALGORITHM:
            raise BadManifestError(f"claim: this format knows the order {LEAF_ORDER} and {HASH_ALGORITHM} alone")
        self._check_texts()
        self._check_numbers()

    def _check_texts(self) -> None:
        for name, mapping in (("filters", self.filters), ("verdicts", self.verdicts)):
            kind = str if name == "filters" else int
            if not all(type(key) is str and type(value) is kind for key, value in mapping.items()):
                raise BadManifestError(f"claim: {name} maps texts to {kind.__name__}")

        if not _LEAVES.fullmatch(self.filters.get(NAMED_LEAVES, "0")):
            raise BadManifestError(f"claim: {NAMED_LEAVES} is no list of leaves")

    def _check_numbers(self) -> None:
        first, end = self.complete_range or (0, self.ledger_size)
        inside = 0 <= first <= end <= self.ledger_size
        if self.entries:
            if self.first_leaf is None or self.last_leaf is None:
                raise BadManifestError("claim: there are entries, but no first and last leaf")
            inside = inside and first <= self.first_leaf <= self.last_leaf < end
            inside = inside and self.entries <= self.last_leaf - self.first_leaf + 1
        elif (self.first_leaf, self.last_leaf) != (None, None):
            raise BadManifestError("claim: there is no entry, but a first or last leaf")
        withheld = None if self.complete_range is None else end - first - self.entries
        named = self.named_leaves
        inside = inside and (named is None or (self.complete_range is None and self.entries == len(named)))
        if not inside or self.withheld != withheld or sum(self.verdicts.values()) != self.entries:
            raise BadManifestError("claim: its numbers do not go together")
        if min(self.entries, *self.verdicts.values(), 0) < 0:
            raise BadManifestError("claim: a negative number of entries")

    @property
    def named_leaves(self) -> frozenset[int] | None:
        """The leaves that the filter names one by one, each of which is exported; None for another filter."""
        named = self.filters.get(NAMED_LEAVES)
        return None if named is None else frozenset(map(int, named.split(",")))

    @property
    def marked(self) -> int:
        """The number of entries that were exported although something is wrong with them or cannot be known."""
        return self.entries - self.verdicts.get("valid", 0) - self.verdicts.get("unsigned", 0)

    @property
    def format(self) -> str:
        """The format of claim.json, to which the sentences belong."""
        return FIRST if self.in_first_words or not self.marked else SECOND

    def claims(self) -> list[str]:
        """Return what the export claims, as plain sentences."""
        return claim_words.claims(self)

    def claims_not(self) -> list[str]:
        """Return what the export does not claim, as plain sentences."""
        return claim_words.claims_not(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the members of claim.json."""
        members = {name: getattr(self, name) for name in _KINDS}
        complete_range = None if self.complete_range is None else list(self.complete_range)
        said = {"complete_range": complete_range, "claims": self.claims(), "claims_not": self.claims_not()}
        return {"format": self.format, **members, **said}

    def to_json(self) -> bytes:
        """Return claim.json."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, said: object) -> Claim:
        """Return the claim of its members. Raises BadManifestError for what is none."""
        if not isinstance(said, dict) or said.get("format") not in (FIRST, SECOND):
            raise BadManifestError(f"claim: neither of the format {FIRST} nor {SECOND}")
        members: dict[str, Any] = {name: said.get(name) for name in _KINDS}
        span = members["complete_range"]
        if isinstance(span, list):
            if [type(number) for number in span] != [int, int]:
                raise BadManifestError("claim: complete_range is two numbers")
            members["complete_range"] = tuple(span)
        claim = cls(**members)
        if claim.marked and said["format"] == FIRST:
            claim = replace(claim, in_first_words=True)
        if claim.to_dict() != said:
            raise BadManifestError("claim: unknown or missing members, or other words than its numbers say")
        return claim

    @classmethod
    def from_json(cls, raw: bytes) -> Claim:
        """Return the claim of claim.json. Raises BadManifestError unless it is in its one spelling."""
        return cls.from_dict(parse_canonical_json(raw))


_NUMBER, _TEXT, _MAYBE_TEXT, _MAYBE_NUMBER = (int,), (str,), (str, type(None)), (int, type(None))
_KINDS: dict[str, tuple[type, ...]] = {
    "export_id": _TEXT,
    "exported_at": _TEXT,
    "exported_by": _TEXT,
    "purpose": _TEXT,
    "case": _TEXT,
    "filters": (dict,),
    "ledger": _TEXT,
    "origin": _TEXT,
    "ledger_size": _NUMBER,
    "root": _TEXT,
    "entries": _NUMBER,
    "first_leaf": _MAYBE_NUMBER,
    "last_leaf": _MAYBE_NUMBER,
    "complete_range": (tuple, type(None)),
    "withheld": _MAYBE_NUMBER,
    "dataset_digest": _TEXT,
    "verdicts": (dict,),
    "software": _TEXT,
    "signer_certificate_sha256": _TEXT,
    "time_stamp_authority": _MAYBE_TEXT,
    "redaction": _MAYBE_TEXT,
    "order": _TEXT,
    "hash_algorithm": _TEXT,
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the export, as the manifest lists it."""

    name: str
    media_type: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The claim and the files that belong to it, in the order in which the container has them."""

    claim: Claim
    files: tuple[File, ...]

    def to_json(self) -> bytes:
        """Return manifest.json."""
        files = [{field.name: getattr(file, field.name) for field in fields(file)} for file in self.files]
        return canonical_json({"format": MANIFEST_FORMAT, "claim": self.claim.to_dict(), "files": files})

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        """Return the manifest of manifest.json. Raises BadManifestError unless it is in its one spelling."""
        said = parse_canonical_json(raw)
        if not isinstance(said, dict) or said.get("format") != MANIFEST_FORMAT or said.keys() != _MANIFEST_MEMBERS:
            raise BadManifestError(f"manifest: not of the format {MANIFEST_FORMAT}")
        if not isinstance(said["files"], list):
            raise BadManifestError("manifest: its files are no list")
        files = tuple(map(_file, said["files"]))
        if len({file.name for file in files}) != len(files):
            raise BadManifestError("manifest: a file is listed twice")
        return cls(Claim.from_dict(said["claim"]), files)


_MANIFEST_MEMBERS = {"format", "claim", "files"}


def canonical_json(value: object) -> bytes:
    """Return the one spelling of a JSON value in our files."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=2).encode() + b"\n"


def parse_canonical_json(raw: bytes) -> object:
    """Return the value. Raises BadManifestError unless `canonical_json` would write the same bytes."""
    if len(raw) > MAX_SIZE:
        raise BadManifestError(f"larger than {MAX_SIZE:,} bytes")
    try:
        value: object = json.loads(raw.decode())
        spelling = canonical_json(value)
    except (ValueError, RecursionError) as error:
        raise BadManifestError("not JSON in UTF-8") from error
    if spelling != raw:
        raise BadManifestError("not in the one spelling of this format")
    return value


def _file(said: object) -> File:
    if not isinstance(said, dict) or said.keys() != {field.name for field in fields(File)}:
        raise BadManifestError("manifest: a file has a name, media type, SHA-256 and size")
    if [type(said[name]) for name in ("name", "media_type", "sha256", "size")] != [str, str, str, int]:
        raise BadManifestError("manifest: a member of a file is of the wrong kind")
    if not _HASH.fullmatch(said["sha256"]) or said["size"] < 0:
        raise BadManifestError("manifest: the hash or size of a file cannot be")
    return File(**said)
