"""auditlog-verify.pyz: one file that checks an export where none of our code is installed."""

import re
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

from tests.exports.exporting import FILE_NAME, Export


def built(target: Path) -> Path:
    command = [sys.executable, "-m", "exports.verifier.pyz", str(target)]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    return target


def test_the_one_file_checks_an_export_without_our_checkout(tmp_path: Path) -> None:
    tool = built(tmp_path / "auditlog-verify.pyz")
    (tmp_path / FILE_NAME).write_bytes(Export().container())
    done = subprocess.run([sys.executable, tool, FILE_NAME], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "signer unknown" in done.stdout
    with ZipFile(tool) as archive:
        names = archive.namelist()
    assert {"exports/verifier/contents.py", "exports/verifier/pdf.py"} <= set(names)
    assert not {"exports/models.py", "exports/services.py", "signing/models.py", "signing/services.py"} & set(names)


def test_without_its_packages_it_says_so_and_finds_nothing(tmp_path: Path) -> None:
    tool = built(tmp_path / "auditlog-verify.pyz")
    (tmp_path / FILE_NAME).write_bytes(Export().container())
    bare = [sys.executable, "-I", "-S", str(tool), FILE_NAME]
    done = subprocess.run(bare, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("auditlog-verify needs the package asn1crypto: ")
    assert "Traceback" not in done.stderr


def test_the_same_code_gives_the_same_bytes(tmp_path: Path) -> None:
    assert built(tmp_path / "one").read_bytes() == built(tmp_path / "two").read_bytes()


def test_the_page_is_written_beside_it_and_allows_nothing_but_its_own_parts(tmp_path: Path) -> None:
    built(tmp_path / "auditlog-verify.pyz")
    page = (tmp_path / "auditlog-verify.html").read_text()
    allowed = dict(re.findall(r"(script|style)-src 'sha256-([^']+)'", page))
    for tag in ("script", "style"):
        (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert b64encode(sha256(inline.encode()).digest()).decode() == allowed[tag]
    assert "default-src 'none'" in page
    assert not re.search(
        r"\b(src|href|action|import|fetch|XMLHttpRequest|WebSocket|Worker|eval|innerHTML)\b *[=(]", page
    )
