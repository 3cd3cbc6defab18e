"""A whole export made by the pure modules alone, as the application assembles it."""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exports import names, proofs, render_accesses_csv, render_csv, render_json, render_ndjson, verify_md
from exports.container import Member, write_container
from exports.manifest import Claim, File, Manifest
from exports.proofs import Head
from signing import certificates, checkpoint, cms
from signing.algorithms import ALGORITHMS
from signing.checkpoint import Checkpoint, NoteKey
from signing.jws import public_jwk
from signing.merkle import leaf_hash
from tests.exports.exported import KEY_ID, PUBLIC_KEY, Tree, entry
from tests.signing.issued import authority, person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exports.rows import ExportedEntry
    from signing.certificates import Certified
    from signing.cms import TimeStamper

ORIGIN = "auditlog.test/activity"
AT = datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
FILE_NAME = "export.asice"
CHECKPOINT_SEED = bytes(range(32, 64))
RENDERERS = (render_csv, render_accesses_csv, render_ndjson, render_json)


@cache
def ada() -> Certified:
    """Return who signs, the same in all tests of a run."""
    return person(authority())


def checkpoint_key() -> NoteKey:
    """Return the checkpoint key, which verifiers pin."""
    return NoteKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(CHECKPOINT_SEED).public_key().public_bytes_raw())


def note(tree: Tree, size: int | None = None) -> str:
    """Return the signed checkpoint of a tree, or of its first leaves."""
    size = len(tree.leaves) if size is None else size
    signer = ALGORITHMS["Ed25519"].load_private(CHECKPOINT_SEED)
    return checkpoint.sign(Checkpoint(ORIGIN, size, tree.root(size)), [(checkpoint_key(), signer)])


@dataclass(frozen=True)
class Export:
    """What is exported, by whom; `container()` makes the file. Every part can be replaced to see what notices."""

    ledger: tuple[ExportedEntry, ...] = tuple(entry(number, signed=number % 5 != 4) for number in range(12))
    chosen: tuple[int, ...] = (3, 4, 5, 8)
    complete_range: tuple[int, int] | None = (2, 10)
    formats: tuple[str, ...] = (render_csv.NAME, render_ndjson.NAME, render_json.NAME)
    purpose: str = "quarterly review"
    filters: dict[str, str] = field(default_factory=lambda: {"actor": "bob"})
    signer: Certified = field(default_factory=ada)
    time_stamp: TimeStamper | None = None
    time_stamp_authority: str | None = None
    tree: Tree | None = None  # the real one, where the entries are not its leaves
    in_first_words: bool = False

    @property
    def real_tree(self) -> Tree:
        """The tree whose root was signed."""
        return self.tree or Tree.of(self.ledger)

    @property
    def entries(self) -> list[ExportedEntry]:
        """The exported entries."""
        return [self.ledger[index] for index in self.chosen]

    def claim(self, **changes: Any) -> Claim:
        """Return the claim."""
        tree, entries, span = self.real_tree, self.entries, self.complete_range
        claim = Claim(
            export_id="01932f6e-0000-7000-8000-00000000e000",
            exported_at=AT.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            exported_by="ada",
            purpose=self.purpose,
            case="2026-17",
            filters=self.filters,
            ledger="activity",
            origin=ORIGIN,
            ledger_size=len(tree.leaves),
            root=tree.root().hex(),
            entries=len(entries),
            first_leaf=entries[0].leaf_index if entries else None,
            last_leaf=entries[-1].leaf_index if entries else None,
            complete_range=span,
            withheld=None if span is None else span[1] - span[0] - len(entries),
            dataset_digest=sha256(b"".join(one.record + b"\n" for one in entries)).hexdigest(),
            verdicts=dict(Counter(str(one.verdict) for one in entries)),
            software="auditlog 0.1.0",
            signer_certificate_sha256=self.signer.fingerprint,
            time_stamp_authority=self.time_stamp_authority,
            in_first_words=self.in_first_words,
        )
        return replace(claim, **changes)

    def proof(self) -> bytes:
        """Return the multi-proof."""
        tree = self.real_tree
        head = Head(ORIGIN, len(tree.leaves), self.complete_range)
        fits = [(one.leaf_index, leaf_hash(one.record) == tree.leaves[one.leaf_index]) for one in self.entries]
        lines = proofs.part(fits, head=head, begin=0, end=head.size, node_at=tree.node_at)
        return b"".join([head.to_bytes(), *lines, proofs.FOOTER])

    def contents(self) -> dict[str, tuple[str, bytes]]:
        """Return media type and bytes of every file but the manifest, by name."""
        claim = self.claim()
        files: dict[str, tuple[str, bytes]] = {}
        for renderer in RENDERERS:
            if renderer.NAME in self.formats:
                raw = renderer.header() + renderer.rows(self.entries) + renderer.footer(claim)
                files[renderer.NAME] = (renderer.MEDIA_TYPE, raw)
        jwks = {"keys": [public_jwk(KEY_ID, "Ed25519", PUBLIC_KEY)]}
        files[proofs.NAME] = (proofs.MEDIA_TYPE, self.proof())
        files[names.CHECKPOINT] = ("text/plain", note(self.real_tree).encode())
        files[names.JWKS] = ("application/jwk-set+json", json.dumps(jwks, sort_keys=True, indent=2).encode() + b"\n")
        files[names.VKEYS] = ("text/plain", f"{checkpoint_key().vkey}\n".encode())
        files[names.SIGNER] = ("application/x-pem-file", certificates.to_pem([self.signer.certificate]))
        files[names.ISSUERS] = ("application/x-pem-file", certificates.to_pem(self.signer.chain))
        root = certificates.fingerprint(self.signer.chain[-1])
        files[names.VERIFY] = (verify_md.MEDIA_TYPE, verify_md.render(claim, FILE_NAME, {*files}, root))
        return files

    def members(self) -> list[Member]:
        """Return all files of the container, the manifest first."""
        return members(self.contents(), self.claim())

    def container(self) -> bytes:
        """Return the .asice file."""
        return packed(self.members(), self.signer, self.time_stamp)


def members(contents: dict[str, tuple[str, bytes]], claim: Claim) -> list[Member]:
    """Return the manifest of files and these files."""
    listed = [Member.of(name, media_type, raw) for name, (media_type, raw) in contents.items()]
    files = tuple(File(one.name, one.media_type, one.sha256.hex(), one.size) for one in listed)
    return [Member.of(names.MANIFEST, "application/json", Manifest(claim, files).to_json()), *listed]


def packed(members: Sequence[Member], signer: Certified, time_stamp: TimeStamper | None = None) -> bytes:
    """Return a container of these files, signed."""
    target = io.BytesIO()
    write_container(target, members, partial(cms.sign, signer=signer, at=AT, time_stamp=time_stamp))
    return target.getvalue()
