"""The sample export of docs/sample, and the commands of docs/verification.md on it: right, whatever the year."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exports.container import open_container
from exports.verifier import page, pyz, signers
from exports.verifier.__main__ import main
from signing import certificates
from tests.clusters import PROJECT, Database
from tests.exports.sample import CONTAINER, LOOSE, SAMPLE, make
from tests.served import WebServer

PINS = ("trust/ca.pem", "trust/tsa.pem", "trust/trust.vkeys", "trust/jwks.json")
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPERATORS = "# Verifying the log: for operators"
# OpenSSL names the file of its settings, which is another one elsewhere.
NOISE = re.compile(r"^Using configuration from .*\n", re.MULTILINE)
FAR_FUTURE = datetime(2076, 1, 1, tzinfo=UTC)


def blocks() -> list[tuple[str, str | None]]:
    """Return the commands of docs/verification.md for outsiders, each with the output that the page shows."""
    text = (PROJECT / "docs" / "verification.md").read_text().partition(OPERATORS)[0]
    found: list[tuple[str, str | None]] = []
    for kind, content in BLOCK.findall(text):
        if kind == "sh":
            found.append((content, None))
        else:
            found[-1] = (found[-1][0], content)
    return found


def run(command: str, directory: Path, **environment: str) -> tuple[int, str]:
    """Run what somebody types in a directory; return the exit status and all that he sees."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", command],
        cwd=directory,
        env={"PATH": path, "LC_ALL": "C.UTF-8", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, NOISE.sub("", done.stdout)


def pinned(directory: Path, names: Sequence[str] = PINS) -> list[str]:
    return [argument for name in names for argument in ("--trust", str(directory / name))]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the sample, with our verifier beside it."""
    copied = Path(shutil.copytree(SAMPLE, tmp_path / "sample"))
    pyz.build(copied / "auditlog-verify.pyz")
    return copied


def test_the_commands_of_the_page_say_what_it_shows(copy: Path) -> None:
    typed = [(command, shown) for command, shown in blocks() if "curl " not in command]
    assert sum(shown is not None for _, shown in typed) >= 10
    for command, shown in typed:
        status, said = run(command, copy)
        assert (status, said) == (0, shown or ""), command


@pytest.mark.parametrize(
    ("change", "refused_by"),
    [
        (("META-INF/ASiCManifest001.xml", b"text/csv", b"text/tsv"), ["openssl cms"]),
        (("entries.csv", b"till", b"safe"), ["sha256sum -c", "csv.DictReader"]),
        (("entries.ndjson", b"till", b"safe"), ["sha256sum -c", "dataset_digest", "csv.DictReader"]),
        (("report.pdf", b"/Lang (en)", b"/Lang (de)"), ["sha256sum -c", "pdfsig", "pyhanko"]),
        (("checkpoint", b"\n44\n", b"\n45\n"), ["sha256sum -c", "openssl pkeyutl"]),
    ],
)
def test_the_commands_of_the_page_notice_a_change(
    copy: Path, change: tuple[str, bytes, bytes], refused_by: list[str]
) -> None:
    (unpack, _), *others = blocks()
    assert run(unpack, copy) == (0, "")
    name, old, new = change
    file = copy / "export" / name
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new))
    for tool in refused_by:
        ((command, shown),) = [block for block in others if tool in block[0]]
        assert run(command, copy) != (0, shown), tool


def test_another_time_stamp_is_noticed(copy: Path) -> None:
    (unpack, _), *others = blocks()
    run(unpack, copy)
    ((command, shown),) = [block for block in others if "openssl ts" in block[0]]
    (copy / "trust" / "tsa.pem").write_bytes((copy / "trust" / "ca.pem").read_bytes())
    status, said = run(command, copy)
    assert status != 0
    assert said != shown


def test_its_own_instructions_are_right(copy: Path) -> None:
    text = (copy / "VERIFY.md").read_text()
    name = re.search("auditlog-export-[0-9a-f-]+\\.asice", text)
    assert name
    (copy / CONTAINER).rename(copy / name[0])
    (copy / "export").mkdir()
    for file in (*(copy / "trust").iterdir(), copy / "trust" / "tsa.pem"):
        shutil.copy(file, copy)
        shutil.copy(file, copy / "export")
    commands = [found.replace("\n    ", "\n").strip() for found in re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)]
    ours, unpack, *others = commands
    assert "=> All is right" in run(ours, copy)[1]
    assert "CMS Verification successful" in run(unpack, copy)[1]
    said = [run(command, copy / "export") for command in others]
    assert [status for status, _ in said] == [0] * len(others)
    together = "".join(output for _, output in said)
    digest = json.loads((copy / "manifest.json").read_bytes())["claim"]["dataset_digest"]
    for line in ("VERIFY.md: OK\n", "Verification: OK\n", f"{digest}  -\n", "Total document signed\n"):
        assert line in together


def test_it_stays_right_when_all_its_certificates_have_ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            del tz
            return FAR_FUTURE

    ends = [certificates.facts(one).not_after for one in certificates.read((SAMPLE / "trust" / "ca.pem").read_bytes())]
    assert max(ends) < FAR_FUTURE
    monkeypatch.setattr(signers, "datetime", Later)
    assert main([*pinned(SAMPLE), str(SAMPLE / CONTAINER)]) == 0
    without_stamp = [name for name in PINS if name != "trust/tsa.pem"]
    assert main([*pinned(SAMPLE, without_stamp), str(SAMPLE / CONTAINER)]) == 2
    assert "it expired on 2028-" in capsys.readouterr().out


def test_the_files_beside_it_are_those_in_it() -> None:
    opened = open_container(io.BytesIO((SAMPLE / CONTAINER).read_bytes()))
    for name in LOOSE:
        assert (SAMPLE / name).read_bytes() == b"".join(opened.pieces(name)), name
    (ca,) = certificates.read((SAMPLE / "trust" / "ca.pem").read_bytes())
    fingerprint = (SAMPLE / "trust" / "fingerprint.txt").read_text().strip()
    assert fingerprint == certificates.fingerprint(ca)
    assert main(["--trust", fingerprint, *pinned(SAMPLE, PINS[1:]), str(SAMPLE / CONTAINER)]) == 0


def test_it_is_made_by_the_application(site: Database, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """With --write-sample it is made in docs/sample; otherwise elsewhere, and must come out right as well."""
    directory = SAMPLE if pytestconfig.getoption("--write-sample") else tmp_path / "sample"
    (tmp_path / "tsa").mkdir()
    export = make(directory, tmp_path / "tsa")
    assert export.verdicts == {"valid": 10}
    assert main([*pinned(directory), str(directory / CONTAINER)]) == 0


@pytest.mark.slow
def test_a_server_takes_it_as_the_page_says(fresh_database: Database, broker: str, tmp_path: Path) -> None:
    whole, loose = [command for command, _ in blocks() if "curl " in command]
    quiet = "curl --silent --fail-with-body "
    # The log of the tests has the name of the sample's, and other keys; this server knows the sample's.
    trust = shutil.copy(SAMPLE / "trust" / "trust.vkeys", tmp_path)
    environment = fresh_database.environment("default", "approver") | {"REDIS_URL": broker}
    environment["AUDITLOG_TRUST_FILE"] = str(trust)
    with WebServer(environment, tmp_path / "web.log") as server:
        status, said = run(whole.replace("curl ", quiet), SAMPLE, URL=server.url)
        loose_status, of_loose = run(loose.replace("curl ", quiet), SAMPLE, URL=server.url)
    assert (status, loose_status) == (0, 0), said + of_loose
    report = json.loads(said)
    # It is another server than made it, so that the signer is not known to it; but all is intact.
    assert report["outcome"] == "cannot_tell", said
    assert {check["state"] for check in report["checks"]} == {"ok", "note", "cannot tell"}
    (report,) = json.loads(of_loose)["reports"]
    assert report["outcome"] == "cannot_tell", of_loose
    assert "as the manifest lists them: entries.csv" in [check["text"] for check in report["checks"]]
    assert page.FILE_NAME in (PROJECT / "docs" / "verification.md").read_text()
