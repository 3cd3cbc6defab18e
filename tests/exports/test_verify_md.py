"""VERIFY.md: its commands, run as they stand there by a shell, say that the export is right, or that it is not."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zipfile import ZipFile

import pytest

from exports import names, verify_md
from signing import certificates
from signing.verdicts import Verdict
from tests.exports.exporting import AT, FILE_NAME, Export, checkpoint_key
from tests.signing.issued import START, authority, person

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"(?:^    .*\n)+", re.MULTILINE)


def unpacked(directory: Path, export: Export) -> tuple[Path, list[str]]:
    """Unpack a container and return where, and the commands of its VERIFY.md after the one that unpacks."""
    (directory / FILE_NAME).write_bytes(export.container())
    with ZipFile(directory / FILE_NAME) as archive:
        archive.extractall(directory / "export")
    text = (directory / "export" / names.VERIFY).read_text()
    blocks = [block.replace("\n    ", "\n").removeprefix("    ") for block in COMMAND.findall(text)]
    return directory / "export", [block.split("cd export\n")[-1] for block in blocks if "auditlog-verify" not in block]


def run(command: str, at: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", "-ec", command], cwd=at, capture_output=True, text=True, check=False)


def test_its_commands_say_that_everything_is_right(tmp_path: Path) -> None:
    export = Export()
    directory, (signature, hashes, dataset) = unpacked(tmp_path, export)
    said = run(signature, directory)
    assert (said.returncode, said.stderr) == (0, "CMS Verification successful\n")
    assert said.stdout == f"{certificates.fingerprint(export.signer.chain[-1])}  -\n"
    said = run(hashes, directory)
    assert said.returncode == 0
    assert said.stdout.count(": OK\n") == len(export.members())
    assert run(dataset, directory).stdout.split()[0] == export.claim().dataset_digest


def test_the_root_alone_is_trusted_not_whatever_certificates_lie_in_front_of_it(tmp_path: Path) -> None:
    export = Export()
    directory, (signature, *_) = unpacked(tmp_path, export)
    issuers, another = directory / names.ISSUERS, certificates.to_pem([authority("Another CA").certificate])
    issuers.write_bytes(another + issuers.read_bytes())
    assert run(signature, directory).stderr == "CMS Verification successful\n"
    issuers.write_bytes(issuers.read_bytes() + another)
    said = run(signature, directory)
    assert "CMS Verification failure" in said.stderr
    assert said.stdout != f"{certificates.fingerprint(export.signer.chain[-1])}  -\n"


def test_its_commands_say_so_when_the_certificate_has_ended(tmp_path: Path) -> None:
    """Whoever looks years later sees that it was valid when it signed, and that it is not any more."""
    ended = person(authority(), valid=AT - START + timedelta(minutes=1))
    directory, (signature, *_) = unpacked(tmp_path, Export(signer=ended))
    assert run(signature, directory).stderr == "CMS Verification successful\n"
    now = re.sub(r"-attime \d+", "", signature)
    assert now != signature
    assert "certificate has expired" in run(now, directory).stderr


def test_the_command_of_our_verifier_says_that_everything_is_right(tmp_path: Path) -> None:
    export = Export()
    (tmp_path / FILE_NAME).write_bytes(export.container())
    (tmp_path / "trust.vkeys").write_text(checkpoint_key().vkey)
    (tmp_path / "jwks.json").write_bytes(export.contents()[names.JWKS][1])
    text = export.contents()[names.VERIFY][1].decode()
    (command,) = (one for one in COMMAND.findall(text) if "auditlog-verify" in one)
    verifier = f"{sys.executable} -m exports.verifier"
    (tmp_path / "exports").symlink_to(ROOT / "exports")
    (tmp_path / "signing").symlink_to(ROOT / "signing")
    said = run(command.replace("python3 auditlog-verify.pyz", verifier), tmp_path)
    assert said.returncode == 0, said.stdout


def test_its_commands_notice_a_change(tmp_path: Path) -> None:
    directory, (signature, hashes, dataset) = unpacked(tmp_path, Export())
    data = directory / "entries.ndjson"
    data.write_bytes(data.read_bytes().replace(b"user-4", b"user-5"))
    assert "entries.ndjson: FAILED" in run(hashes, directory).stdout
    assert run(dataset, directory).stdout.split()[0] != Export().claim().dataset_digest
    listed = directory / "META-INF" / "ASiCManifest001.xml"
    listed.write_bytes(listed.read_bytes().replace(b"text/csv", b"text/tsv"))
    assert run(signature, directory).returncode != 0


def test_its_digest_is_right_of_marked_entries_too(tmp_path: Path) -> None:
    """The shell gets the command as it stands in the file, moved in."""
    ledger = list(Export().ledger)
    ledger[4] = ledger[4]._replace(record=b"", verdict=Verdict.MISSING, reason="gone")
    ledger[5] = ledger[5]._replace(record=b"\xff no json\n", verdict=Verdict.TAMPERED, reason="changed")
    export = Export(ledger=tuple(ledger), tree=Export().real_tree)
    directory, _ = unpacked(tmp_path, export)
    (dataset,) = (one for one in COMMAND.findall((directory / names.VERIFY).read_text()) if "entries.ndjson" in one)
    assert run(dataset, directory).stdout.split() == [export.claim().dataset_digest]


def test_marked_entries_are_said_at_its_head() -> None:
    export = Export()
    tampered = replace(
        export, ledger=tuple(one._replace(verdict="tampered", reason="changed") for one in export.ledger)
    )
    text = verify_md.render(tampered.claim(), FILE_NAME, (), "00" * 32).decode()
    head = text.split("##", maxsplit=1)[0]
    assert "**4 entries did not verify when they were exported: 4 tampered; each is marked in the data**" in head
    said = verify_md.render(export.claim(verdicts={"missing": 1, "removed": 3}), FILE_NAME, (), "00" * 32).decode()
    assert "**4 entries did not verify or had been removed when they were exported: 1 missing, 3 removed; each" in said
    assert "* Marked as missing: 1. The ledger has its leaf" in said
    assert "did not verify" not in verify_md.render(export.claim(), FILE_NAME, (), "00" * 32).decode()


@pytest.mark.parametrize("text", ["x`y", "``", "a\n## Forged", "[x](http://evil)", "\u202e", "<script>", "y" * 5000])
def test_no_text_of_the_exporter_becomes_markdown(text: str) -> None:
    said = verify_md.render(Export(purpose=text).claim(), FILE_NAME, (), "00" * 32).decode()
    line = next(line for line in said.splitlines() if line.startswith("* exported by"))
    shown = line.partition("purpose ")[2]
    fence = re.match("`+", shown)
    assert fence
    assert shown.endswith(f" {fence[0]}")
    assert fence[0] not in shown[len(fence[0]) : -len(fence[0])]
    assert "\u202e" not in said
    assert len(line) < 500


def test_a_time_stamp_is_explained_only_if_there_is_one() -> None:
    export = Export()
    assert b"## The time stamp" not in verify_md.render(export.claim(), FILE_NAME, (), "00" * 32)
    stamped = export.claim(time_stamp_authority="https://tsa.example")
    assert b"## The time stamp" in verify_md.render(stamped, FILE_NAME, (), "00" * 32)
