"""Exports that somebody altered, in many ways: what different verifiers must say the same of."""

from __future__ import annotations

import io
import json
import random
import warnings
import zipfile
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from exports import names, proofs
from exports.container import MANIFEST_XML, SIGNATURE
from exports.rows import ExportedEntry
from signing import certificates, jws
from signing.algorithms import ALGORITHMS
from signing.verdicts import Verdict
from tests.exports.exported import AMENDMENT, KEY_ID, PUBLIC_KEY, Tree, access, entry, event, record
from tests.exports.exporting import Export, ada, members, note, packed
from tests.signing.issued import authority, person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Files = list[tuple[str, bytes]]
NEW_KEY_ID = "entry-ed25519-ba9876543210"
ODD_TEXTS = (
    "=1+1",
    "a;  =b|@c",
    "'quoted' \"twice\", and more",
    ' "-x',
    "\N{FULLWIDTH EQUALS SIGN}x\\u0041",
    "tab\t line\n return\r null\0 escape\x1b",
    "right \u202e left \u2028 \ufeff \U0001f600 e\u0301 \x7f \x85",
    "<script>alert(1)</script><!-- ]]>",
    ',"id":"x","leaf_index":7',
)


ACCESSES = Export(
    ledger=tuple(map(access, range(10))),
    formats=("accesses.csv", "entries.ndjson", "entries.json"),
    complete_range=(2, 9),
)


def flipped(raw: bytes, step: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield a container with one bit changed: every `step` bytes, and in every header, member and directory."""
    generator = random.Random(seed)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        starts = [one.header_offset for one in archive.infolist()] + [archive.start_dir]
    inside = [start + generator.randrange(120) for start in starts for _ in range(3)]
    for place in sorted({*inside, *range(0, len(raw), step), len(raw) - 1}):
        changed = bytearray(raw)
        changed[place] ^= 1 << generator.randrange(8)
        yield f"bit of byte {place}", bytes(changed)


def zipped(files: Files, compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """Return an archive in the spelling of our writer, as far as `compression` and `comment` let it."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in files:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 0
            archive.writestr(info, content, compression)
            info.external_attr = 0
        archive.comment = comment
    return target.getvalue()


def structures(raw: bytes) -> dict[str, bytes]:
    """Return archives that are not laid out as a container is, made of one that is."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        files = [(name, archive.read(name)) for name in archive.namelist()]
    first, rest, last = files[0], files[1:], files[-2:]
    doctype = b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    made = {
        "no mimetype": rest,
        "another mimetype": [("mimetype", b"application/zip"), *rest],
        "a path that climbs": [first, ("../evil", b""), *rest],
        "an absolute path": [first, ("/etc/passwd", b""), *rest],
        "a second list": [first, ("META-INF/other.xml", b""), *rest],
        "a file more": [first, ("extra.txt", b""), *rest],
        "a file less": [first, *rest[1:]],
        "files in another order": [first, rest[1], rest[0], *rest[2:]],
        "no signature": files[:-1],
        "an empty signature": [*files[:-1], (SIGNATURE, b"")],
        "signature before list": [*files[:-2], *last[::-1]],
        "an archive inside": [first, (rest[0][0], raw), *rest[1:]],
        "a name that is not ASCII": [first, ("ä.txt", b""), *rest],
        "a name twice": [first, rest[0], *rest],
        "too many files": [*files, *[(f"f{number}", b"") for number in range(70)]],
        "a document type": [(name, doctype + one if name == MANIFEST_XML else one) for name, one in files],
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice is one of the attacks
        archives = {name: zipped(one) for name, one in made.items()}
    return archives | {
        "compressed": zipped(files, zipfile.ZIP_DEFLATED),
        "a comment": zipped(files, comment=b"hello"),
        "a bomb": zipped([first, ("entries.csv", b"\0" * 20_000_000)], zipfile.ZIP_DEFLATED),
        "something behind": raw + b"x",
        "cut in the directory": raw[:-9],
        "cut in a file": raw[:900],
        "an archive of nothing": zipped([]),
    }


def signed_again(export: Export) -> dict[str, bytes]:
    """Return containers of other contents, which an insider signs with the right key."""

    def changed(name: str, change: Callable[[bytes], bytes]) -> bytes:
        contents = export.contents()
        contents[name] = (contents[name][0], change(contents[name][1]))
        return packed(members(contents, export.claim()), export.signer)

    def claiming(**claim: object) -> bytes:
        return packed(members(export.contents(), export.claim(**claim)), export.signer)

    def swapped(raw: bytes) -> bytes:
        return raw.replace(b"user-4", b"user-5")

    def lines(raw: bytes) -> list[bytes]:
        return raw.splitlines(keepends=True)

    return {
        "a row less": changed("entries.ndjson", lambda raw: b"".join(lines(raw)[1:])),
        "a row twice": changed("entries.ndjson", lambda raw: raw + lines(raw)[-1]),
        "rows in another order": changed("entries.ndjson", lambda raw: b"".join(lines(raw)[::-1])),
        "another record": changed("entries.ndjson", swapped),
        "a row of another spelling": changed("entries.ndjson", lambda raw: raw.replace(b',"verdict"', b', "verdict"')),
        "another verdict": changed("entries.ndjson", lambda raw: raw.replace(b'"valid"', b'"cannot_tell"')),
        "no rows": changed("entries.ndjson", lambda _: b""),
        "rows that are none": changed("entries.ndjson", lambda _: b'{"record":1}\n'),
        "another cell": changed("entries.csv", swapped),
        "a formula": changed("entries.csv", lambda raw: raw.replace(b"user-4", b"=cmd()")),
        "another row in the JSON": changed("entries.json", swapped),
        "no proof": without(export, proofs.NAME),
        "no checkpoint": without(export, names.CHECKPOINT),
        "keys that are none": changed(names.JWKS, lambda _: b"{}"),
        "no key file but an empty one": changed(names.JWKS, lambda _: b""),
        "keys that are none, and no rows": _without_rows(export, b"{}"),
        "checkpoint keys that are none": changed(names.VKEYS, lambda _: b"{}"),
        "a proof cut off": changed(proofs.NAME, lambda raw: raw[:-4]),
        "a proof and more": changed(proofs.NAME, lambda raw: raw + b"end\n"),
        "a leaf of the range less": changed(proofs.NAME, lambda raw: b"".join(lines(raw)[:6] + lines(raw)[7:])),
        "an older checkpoint": changed(names.CHECKPOINT, lambda _: note(export.real_tree, 9).encode()),
        "an unsigned checkpoint": changed(names.CHECKPOINT, lambda raw: raw.partition(b"\n\n")[0] + b"\n\n"),
        "another filter": claiming(filters={"actor": "eve"}),
        "another dataset digest": claiming(dataset_digest="00" * 32),
        "another range": claiming(complete_range=(3, 9), withheld=2),
        "no range": claiming(complete_range=None, withheld=None),
        "another number of entries": claiming(entries=3, withheld=5, verdicts={"valid": 3}),
        "a time stamp that is not there": claiming(time_stamp_authority="https://tsa.example"),
        "the certificate of somebody else": changed(names.SIGNER, lambda _: certificates.to_pem(ada().chain)),
        "another entry than the one that is named": Export(
            filters={"leaf_indexes": "3,4,5,9"}, complete_range=None
        ).container(),
        "a manifest of another spelling": _respelled(export),
    }


def without(export: Export, name: str) -> bytes:
    """Return an export in which a file was left out before it was signed."""
    contents = {one: content for one, content in export.contents().items() if one != name}
    return packed(members(contents, export.claim()), export.signer)


def _without_rows(export: Export, keys: bytes) -> bytes:
    empty = replace(export, chosen=())
    contents = empty.contents()
    contents[names.JWKS] = (contents[names.JWKS][0], keys)
    return packed(members(contents, empty.claim()), empty.signer)


def _respelled(export: Export) -> bytes:
    manifest, *others = export.members()
    raw = b"".join(manifest.read()).replace(b'"case": ', b'"case":  ')
    return packed([type(manifest).of(manifest.name, manifest.media_type, raw), *others], export.signer)


def forged(export: Export) -> dict[str, bytes]:
    """Return exports of somebody who has other keys, or other data."""
    eve = person(authority(), "Ada Lovelace")
    late = person(authority("Late CA"), valid=timedelta(days=1))
    contents = export.contents() | {
        names.SIGNER: ("application/x-pem-file", certificates.to_pem([eve.certificate])),
        names.ISSUERS: ("application/x-pem-file", certificates.to_pem(eve.chain)),
    }
    marked, silent = list(export.ledger), list(export.ledger)
    marked[4] = marked[4]._replace(record=b'{"changed":NaN}', verdict=Verdict.TAMPERED, reason="not the leaf")
    amended = list(export.ledger)
    record = entry(4, amendment=AMENDMENT).record
    amended[3] = amended[3]._replace(record=record, verdict=Verdict.TAMPERED)
    amended[4] = amended[4]._replace(record=record.replace(b'"by":', b'"by" :\n'), verdict=Verdict.TAMPERED)
    amended[5] = amended[5]._replace(
        record=record.replace(b',"data"', b',"amendment":,"data"'), verdict=Verdict.TAMPERED
    )
    silent[4] = silent[5]._replace(leaf_index=4)
    stripped = tuple(one._replace(signature=None) for one in export.ledger)
    return {
        "signed by another CA's person": packed(export.members(), eve),
        "signed by another, with his certificates": packed(members(contents, export.claim()), eve),
        "all of it forged": Export(signer=eve).container(),
        "signed by a CA": packed(export.members(), replace(authority(), chain=())),
        "signed when the certificate was over": Export(signer=late).container(),
        "signatures stripped": Export(ledger=stripped).container(),
        "a tampered entry, marked": replace(export, ledger=tuple(marked), tree=Tree.of(export.ledger)).container(),
        "tampered amendments, marked": replace(export, ledger=tuple(amended), tree=Tree.of(export.ledger)).container(),
        "tampered amendments in CSV": replace(
            export, ledger=tuple(amended), tree=Tree.of(export.ledger), formats=("entries.csv",)
        ).container(),
        "a tampered entry, not marked": replace(export, ledger=tuple(silent), tree=Tree.of(export.ledger)).container(),
    }


def sound() -> dict[str, bytes]:
    """Return exports with which nothing is wrong, of each shape."""
    rsa = person(authority("RSA CA", "RS256"), "Robert", "RS256")
    odd = tuple(
        entry(number, actor=text, target=text, data={"note": text, text: [1.5, -0.0, 2**60]})
        for number, text in enumerate(ODD_TEXTS)
    )
    detached = tuple(entry(number, data={"note": "x" * 70_000}) for number in range(2))
    amended = (
        entry(0),
        entry(1, amendment=AMENDMENT),
        entry(2, amendment=AMENDMENT, data={"note": "x" * 70_000}),
        entry(3, amendment=replace(AMENDMENT, reason=ODD_TEXTS[6], override=None), actor=ODD_TEXTS[8]),
    )
    accesses = tuple(
        access(number, path=text, agent=text, query=[(text, text), ("\uffee", ""), ("\U0001f600", "")])
        for number, text in enumerate(ODD_TEXTS)
    )
    made = {
        "accesses": replace(ACCESSES, ledger=accesses, chosen=(2, 3, 5)),
        "accesses in CSV": Export(ledger=accesses, chosen=(1, 2), formats=("accesses.csv",), complete_range=None),
        "all formats": Export(),
        "CSV alone": Export(formats=("entries.csv",)),
        "JSON alone": Export(formats=("entries.json",)),
        "nothing found": Export(chosen=()),
        "no range": Export(complete_range=None),
        "entries named one by one": Export(filters={"leaf_indexes": "3,4,8,5"}, complete_range=None),
        "every leaf": Export(chosen=tuple(range(12)), complete_range=(0, 12)),
        "odd texts": Export(ledger=odd, chosen=tuple(range(len(odd))), complete_range=None),
        "odd texts in CSV": Export(
            ledger=odd, chosen=(0, *range(2, len(odd))), formats=("entries.csv",), complete_range=None
        ),
        "an odd claim": Export(purpose=ODD_TEXTS[6], filters={"\U0001f600": "a", "\uffee": "b"}),
        "detached data": Export(ledger=detached, chosen=(0, 1), complete_range=(0, 2)),
        "amended": Export(ledger=amended, chosen=(1, 2, 3), complete_range=(0, 4)),
        "amended in CSV": Export(ledger=amended, chosen=(1, 2, 3), formats=("entries.csv",), complete_range=(0, 4)),
        "amended in JSON": Export(ledger=amended, chosen=(1, 3), formats=("entries.json",), complete_range=None),
        "signed with RSA": Export(signer=rsa),
    }
    return {name: export.container() for name, export in made.items()} | {
        "no keys": without(Export(), names.JWKS),
        "no checkpoint keys": without(Export(), names.VKEYS),
    }


def loose() -> dict[str, tuple[int, str, Files]]:
    """Return files that lie about, some of them of the container itself: exit code, words, files."""
    files = {one.filename: raw for one, raw in _read(Export().container())}
    xml, signature, mimetype = files[MANIFEST_XML], files[SIGNATURE], files["mimetype"]
    other = Export(signer=person(authority(), "Eve"))
    others = {one.filename: raw for one, raw in _read(other.container())}

    def given(*names: str, **changes: bytes) -> Files:
        return [(name, changes.get(name, files[name])) for name in names]

    lists = {MANIFEST_XML: xml, SIGNATURE: signature}
    no_proof = {one.filename: raw for one, raw in _read(without(Export(), proofs.NAME))}
    retyped = Export().members()
    retyped[1] = replace(retyped[1], media_type="text/plain")
    another_type = {one.filename: raw for one, raw in _read(packed(retyped, Export().signer))}
    return {
        "all of them": (0, "as the signed list lists them: manifest.json, ", [*files.items()]),
        "all but one": (2, "not here: entries.csv", [one for one in files.items() if one[0] != "entries.csv"]),
        "mimetype": (2, "its mimetype is application/vnd.etsi.asic-e+zip", given("mimetype")),
        "another mimetype": (1, "its mimetype is not", [("mimetype", mimetype + b"\n")]),
        "the list": (2, "not here: VERIFY.md, certificates/issuers.pem", given(MANIFEST_XML)),
        "a list of another spelling": (
            1,
            "one spelling",
            [(MANIFEST_XML, xml.replace(b"  <asic:", b"   <asic:"))],
        ),
        "a list with a comment": (1, "or comment", [(MANIFEST_XML, xml.replace(b"<asic", b"<!-- --><asic", 1))]),
        "the list and a file": (2, "as the signed list lists them: entries.csv", given(MANIFEST_XML, "entries.csv")),
        "the list and a changed file": (
            1,
            "entries.csv is not the file that the signed list lists",
            [(MANIFEST_XML, xml), ("entries.csv", files["entries.csv"].replace(b"user-4", b"user-5"))],
        ),
        "a list without the proof": (1, f"missing: {proofs.NAME}", [(MANIFEST_XML, no_proof[MANIFEST_XML])]),
        "a list of other kinds": (
            1,
            "it lists other files than the signed list",
            [(name, another_type[name]) for name in (MANIFEST_XML, names.MANIFEST)],
        ),
        "a manifest of other sizes": (
            1,
            "entries.csv is not the file that the manifest lists",
            [
                (names.MANIFEST, files[names.MANIFEST].replace(b'"size": ', b'"size": 1')),
                ("entries.csv", files["entries.csv"]),
            ],
        ),
        "the signature": (2, "Example signed a list of files", given(SIGNATURE)),
        "a changed signature": (1, "signature", [(SIGNATURE, signature[:-1] + bytes([signature[-1] ^ 1]))]),
        "a signature cut off": (1, "not", [(SIGNATURE, signature[:-9])]),
        "list and signature": (2, "Example signed the list of files", [*lists.items()]),
        "a changed list and its signature": (
            1,
            "it signs other content",
            [(MANIFEST_XML, xml.replace(b"text/csv", b"text/tsv")), (SIGNATURE, signature)],
        ),
        "a signature and the certificate of somebody else": (
            1,
            "certificates/signer.pem is not what signed the export",
            [(SIGNATURE, signature), (names.SIGNER, others[names.SIGNER])],
        ),
        "the signature of somebody else": (2, "signer unknown", [(SIGNATURE, others[SIGNATURE])]),
        "that and the manifest": (
            1,
            "another certificate than its manifest names",
            [(SIGNATURE, others[SIGNATURE]), (names.MANIFEST, files[names.MANIFEST])],
        ),
    }


def _read(raw: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return [(one, archive.read(one)) for one in archive.infolist()]


def marked() -> dict[str, tuple[int, str, bytes]]:
    """Return exports in which leaf 4 is marked, with each verdict: exit code, words, container."""
    gone: dict[str, Any] = {"record": b"", "key_id": None, "signature": None, "detached_data": None}

    def with_leaf_4(verdict: Verdict, *, in_first_words: bool = False, **changes: Any) -> bytes:
        ledger = list(Export().ledger)
        ledger[4] = ledger[4]._replace(verdict=verdict, reason="looked at", **changes)
        return Export(ledger=tuple(ledger), tree=Export().real_tree, in_first_words=in_first_words).container()

    as_it_was = {
        verdict: (2, f"1 entries did not verify{also}: 1 {verdict}", with_leaf_4(verdict))
        for verdict, also in (
            (Verdict.TAMPERED, ""),
            (Verdict.UNTRUSTED_KEY, ""),
            (Verdict.CANNOT_TELL, ""),
            (Verdict.REMOVED, " or had been removed"),
            (Verdict.ERASED, " or had been removed"),
        )
    }
    differing = {
        f"another record that is {verdict}": (
            1,
            "leaf 4 is not the leaf, and it is not marked as tampered or missing",
            with_leaf_4(verdict, record=b'{"changed":1}'),
        )
        for verdict in (Verdict.UNTRUSTED_KEY, Verdict.CANNOT_TELL, Verdict.REMOVED, Verdict.ERASED)
    }
    return {str(verdict): said for verdict, said in as_it_was.items()} | {
        **differing,
        "missing": (2, "1 entries did not verify: 1 missing", with_leaf_4(Verdict.MISSING, **gone)),
        "another record": (2, "1 tampered", with_leaf_4(Verdict.TAMPERED, record=b'{"changed":1}')),
        "missing, as it was said before": (2, "1 missing", with_leaf_4(Verdict.MISSING, in_first_words=True, **gone)),
        "tampered, as it was said before": (2, "1 tampered", with_leaf_4(Verdict.TAMPERED, in_first_words=True)),
    }


def rotated() -> dict[str, tuple[int, str, bytes]]:
    """Return exports from after a rotation, for somebody who pinned the key before it: exit code, words, container."""
    private, public = ALGORITHMS["Ed25519"].generate()
    old, new = _jwk(KEY_ID, PUBLIC_KEY), _jwk(NEW_KEY_ID, public)
    sign = ALGORITHMS["Ed25519"].load_private(private)

    def exported(*keys: Any, signed_by: str | None = None, **changes: Any) -> bytes:
        ledger = list(Export().ledger)
        if signed_by is not None:
            made, _ = record(event(5), 5, kid=signed_by)
            signature = sign(jws.signing_input(jws.protected("Ed25519", signed_by), made))
            ledger[5] = ExportedEntry(5, made, None, signed_by, signature, Verdict.VALID, "")
        export = Export(ledger=tuple(ledger), **changes)
        listed = ("application/jwk-set+json", json.dumps({"keys": keys}).encode())
        return packed(members(export.contents() | {names.JWKS: listed}, export.claim()), export.signer)

    differ, twice = f"not the pinned ones: {KEY_ID}", "a key id is in it twice"
    return {
        "nothing is signed by the new key": (0, f"are not pinned: {NEW_KEY_ID}", exported(old, new)),
        "an entry is signed by the new key": (2, f"it: {NEW_KEY_ID}; pin", exported(old, new, signed_by=NEW_KEY_ID)),
        "an entry of the new key names the old one": (1, "leaf 5: its signature", exported(old, signed_by=KEY_ID)),
        "another key has the old one's name": (1, differ, exported(_jwk(KEY_ID, public), new)),
        "it has, and nothing is signed": (1, differ, exported(_jwk(KEY_ID, public), chosen=(4, 9))),
        "it has, and only the new key signed": (
            1,
            differ,
            exported(_jwk(KEY_ID, public), new, signed_by=NEW_KEY_ID, chosen=(4, 5)),
        ),
        "another key has the old one's name as well": (1, twice, exported(_jwk(KEY_ID, public), old)),
    }


def _jwk(kid: str, public: bytes) -> dict[str, str] | None:
    return jws.public_jwk(kid, "Ed25519", public)


def of_algorithm(algorithm: str, *, swapped: bool = False) -> bytes:
    """Return an export whose entries are signed with another algorithm, or have each other's signatures."""
    private, public = ALGORITHMS[algorithm].generate()
    kid = f"entry-{algorithm.lower()}-1"
    sign = ALGORITHMS[algorithm].load_private(private)
    ledger = []
    for number in range(3):
        made, _ = record(event(number), number, kid=kid)
        signature = sign(jws.signing_input(jws.protected(algorithm, kid), made))
        ledger.append(ExportedEntry(number, made, None, kid, signature, Verdict.VALID, ""))
    if swapped:
        ledger[0] = ledger[0]._replace(signature=ledger[2].signature)
    export = Export(ledger=tuple(ledger), chosen=(0, 2), complete_range=(0, 3))
    jwk = jws.public_jwk(kid, algorithm, public)
    keys = json.dumps({"keys": [jwk] if jwk else []}).encode()
    contents = export.contents() | {names.JWKS: ("application/jwk-set+json", keys)}
    return packed(members(contents, export.claim()), export.signer)
