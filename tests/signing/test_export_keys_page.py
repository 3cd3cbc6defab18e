"""The commands of docs/export-keys.md, typed as they stand there, by an admin whose CA is OpenSSL."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clusters import PROJECT, Database

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the page takes for given: a CA, and somebody whom it certified.
GIVEN = """
set -euo pipefail
new="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl req -x509 $new -days 3650 -subj "/O=Example/CN=Example CA" \\
    -addext "keyUsage = critical, keyCertSign, cRLSign" -keyout our-ca.key -out our-ca.pem
openssl req -x509 $new -days 730 -subj "/O=Example/CN=Bob" -CA our-ca.pem -CAkey our-ca.key \\
    -addext "basicConstraints = critical, CA:FALSE" -addext "keyUsage = critical, digitalSignature, nonRepudiation" \\
    -keyout bob.key -out bob.pem
echo secret > password.txt
"""


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(fresh_database: Database, tmp_path: Path) -> None:
    launcher = tmp_path / "auditlog"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} {PROJECT}/manage.py "$@"\n')
    launcher.chmod(0o755)
    page = (PROJECT / "docs" / "export-keys.md").read_text()
    steps = BLOCK.findall(page)
    assert len(steps) == 6
    marked = "".join(f"echo '== {number}'\n{step}" for number, step in enumerate(steps))
    done = subprocess.run(
        ["/bin/bash", "-c", GIVEN + marked],
        cwd=tmp_path,
        env=fresh_database.environment("default", "approver"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    made, asked, _, installed, imported, revoked = done.stdout.partition("== 0\n")[2].split("== ")
    assert "signs the exports of ada until" in made
    shown = re.search("Fingerprint=([0-9A-F:]+)", made)
    assert shown
    assert f"pin the CA: SHA-256 {shown[1].replace(':', '').lower()}" in made, "what is said is what OpenSSL finds"
    assert "CN = Ada Lovelace" in asked
    assert "CN=Ada Lovelace" in installed
    assert "issued by CN=Example CA,O=Example" in installed
    assert "signs the exports of bob until" in imported
    assert "sha256 Fingerprint=" in revoked
    rows = [line for line in revoked.splitlines() if " export-es256-" in line and not line.startswith("export")]
    states = {(row.split()[0], row.split("  ")[-1].split(",")[0].split()[-1]) for row in rows}
    assert {("ada", "retired"), ("ada", "active"), ("bob", "retired")} <= states, revoked
    assert re.search(r"^bob .* revoked \d{4}-", revoked, re.MULTILINE)
