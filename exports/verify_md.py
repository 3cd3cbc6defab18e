"""VERIFY.md: how to check this very export, with standard tools alone and with our verifier. Pure.

It lies in the container and is signed with everything else, so it names no hash of itself or of what comes after it.
Texts of the person who exported stand in code spans, so that no Markdown of theirs is taken for ours.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from exports import names, render_accesses_csv, render_csv, render_ndjson
from exports.claim_words import kinds_of_marked, of_marked

if TYPE_CHECKING:
    from collections.abc import Collection

    from exports.manifest import Claim

MEDIA_TYPE = "text/markdown"
_MAX_SHOWN = 200
_TABLES = (render_csv.NAME, render_accesses_csv.NAME)


def render(claim: Claim, file_name: str, files: Collection[str], root_sha256: str) -> bytes:
    """Return VERIFY.md of a container that is called `file_name` and holds `files`.

    `root_sha256` is the fingerprint of the root certificate above the signer's, which verifiers pin.
    """
    parts = [_intro(claim, file_name), _ours(claim, file_name, root_sha256)]
    parts += [_signature(claim, file_name, root_sha256), _HASHES]
    if claim.time_stamp_authority is not None:
        parts.append(_TIME_STAMP.replace("SIGNED_AT", _seconds(claim)))
    if render_ndjson.NAME in files:
        parts.append((_DATASET_MARKED if claim.marked else _DATASET).replace("DIGEST", claim.dataset_digest))
    parts += [_CSV.replace("TABLE", table) for table in _TABLES if table in files]
    if names.REPORT in files:
        parts.append(_REPORT)
    return "\n".join([*parts, _words(claim)]).encode()


def _intro(claim: Claim, file_name: str) -> str:
    span = "no entries" if claim.first_leaf is None else f"leaves {claim.first_leaf} to {claim.last_leaf}"
    lines = [
        f"# How to check `{file_name}`",
        "",
        f"* exported by {_code(claim.exported_by)} at {claim.exported_at}, purpose {_code(claim.purpose)}",
        f"* {claim.entries} entries ({span}) of the ledger `{claim.ledger}`, as it stood at {claim.ledger_size} leaves",
        f"* dataset digest (SHA-256): `{claim.dataset_digest}`",
    ]
    if claim.marked:
        kinds = kinds_of_marked(claim.verdicts)
        what = f"{claim.marked} entries {of_marked(claim.verdicts)} when they were exported: {kinds}"
        lines.append(f"* **{what}; each is marked in the data**")
    return "\n".join([*lines, ""])


def _ours(claim: Claim, file_name: str, root_sha256: str) -> str:
    stamped = claim.time_stamp_authority is not None
    pins = f"--trust {root_sha256} --trust trust.vkeys --trust jwks.json" + " --trust tsa.pem" * stamped
    got = "the fingerprint, `trust.vkeys` and `jwks.json`" + ", and `tsa.pem` from the authority that stamps" * stamped
    return f"""## With our verifier, offline

    python3 auditlog-verify.pyz {pins} \\
        {file_name}

It needs Python 3.11 and the packages `cryptography` and `asn1crypto` (and `pyhanko` for a PDF), and no network.
Exit 0: all is right, and every key that signed is pinned. 1: something was changed. 2: nothing is wrong
that can be seen, but something cannot be told. Get from the operator, by another way than this file:
{got}.
"""


def _signature(claim: Claim, file_name: str, root_sha256: str) -> str:
    return f"""## The signature, with OpenSSL alone

    python3 -m zipfile -e {file_name} export && cd export
    awk '/BEGIN/ {{one = ""}} {{one = one $0 "\\n"}} END {{printf "%s", one}}' {names.ISSUERS} > ca.pem
    openssl x509 -in ca.pem -outform DER | sha256sum
    openssl cms -verify -binary -inform DER -in META-INF/signature001.p7s \\
        -content META-INF/ASiCManifest001.xml -CAfile ca.pem -purpose any \\
        -attime {_seconds(claim)} -out /dev/null

`ca.pem` is now the root alone. Its SHA-256 is the one that the operator gave you (this file says
`{root_sha256}`; who forges an export writes that line too), and the last command says
`CMS Verification successful`: the person in `{names.SIGNER}` signed this list of files. `-attime` is the time of
the export, in seconds since 1970: certificates end, and what was signed while they were valid stays signed.
"""


def _seconds(claim: Claim) -> str:
    return str(int(datetime.fromisoformat(claim.exported_at).timestamp()))


_HASHES = r"""## Every file, with sha256sum

    sed -n 's/.*ObjectReference URI="\([^"]*\)".*/\1/p; s/.*Value>\([^<]*\)<.*/\1/p' META-INF/ASiCManifest001.xml |
        paste - - | while read -r name digest; do
            echo "$(printf %s "$digest" | base64 -d | od -An -v -tx1 | tr -d ' \n')  $name"
        done | sha256sum -c

Every file of the list that was signed is `OK`.
"""
_TIME_STAMP = """## The time stamp, with OpenSSL

    openssl asn1parse -inform DER -in META-INF/signature001.p7s > parts.txt
    token=$(awk -F: '/timeStampToken/ {at = NR} at && NR == at + 2 {print $1 + 0; exit}' parts.txt)
    value=$(awk -F: '/OCTET STRING/ {last = $1 + 0} /timeStampToken/ {print last; exit}' parts.txt)
    openssl asn1parse -inform DER -in META-INF/signature001.p7s -strparse "$token" -noout -out token.der
    openssl asn1parse -inform DER -in META-INF/signature001.p7s -strparse "$value" -noout -out value.bin
    openssl ts -verify -token_in -in token.der -data value.bin -CAfile tsa.pem -attime SIGNED_AT

`tsa.pem` is the root certificate of the time stamp authority, as it publishes it. `Verification: OK` means: the
signature existed at the time that `openssl ts -reply -token_in -in token.der -text` shows.
"""
_DATASET = r"""## The dataset digest

    sed -E 's/^\{"record":(.*),"leaf_index":.*$/\1/' entries.ndjson | sha256sum

gives `DIGEST`: the records themselves, each with a newline, are the ones that the manifest names.
"""
_DATASET_MARKED = r"""## The dataset digest

    python3 -c 'import base64, hashlib; digest = hashlib.sha256(); [
        digest.update((base64.b64decode(text) if b"base64" in name else text) + b"\n")
        for line in open("entries.ndjson", "rb")
        for name, text in [line[: line.rindex(b",\"leaf_index\":")].split(b":", 1)]
    ]; print(digest.hexdigest())'

prints `DIGEST`: the records themselves, each with a newline, are the ones that the manifest names. Those
that are no JSON, which only tampering makes, and the empty ones of what is missing stand in `record_base64`; the
others stand as they are.
"""
_CSV = r"""## The CSV

`TABLE` has the same entries. A cell that begins with an apostrophe is escaped, so that no spreadsheet takes it
for a formula: drop the apostrophe and read `\\` as a backslash and `\uXXXX` as a character.
"""
_REPORT = """## The report

    pdfsig report.pdf

says that the signature is valid and covers the total document. The dataset digest stands in the footer of every page.
"""


def _words(claim: Claim) -> str:
    said = ["## What this export claims", "", *[f"* {one}" for one in claim.claims()]]
    said += ["", "## What it does not claim", "", *[f"* {one}" for one in claim.claims_not()], ""]
    return "\n".join(said)


def _code(text: str) -> str:
    """Return a text as a Markdown code span of one line."""
    visible = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    shown = visible if len(visible) <= _MAX_SHOWN else f"{visible[:_MAX_SHOWN]}…"
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    return f"{fence} {shown} {fence}"
