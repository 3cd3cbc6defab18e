"""auditlog-verify.pyz: one file that checks an export where none of our code is installed."""

import subprocess
import sys
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


def test_the_same_code_gives_the_same_bytes(tmp_path: Path) -> None:
    assert built(tmp_path / "one").read_bytes() == built(tmp_path / "two").read_bytes()
