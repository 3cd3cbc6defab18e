"""`manage.py export`."""

import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from activity.services import record_many
from exports.container import open_container
from exports.manifest import Manifest
from exports.models import Export
from tests.clusters import Database
from tests.exports.ordering import orders, person


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("export", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_it_writes_the_container(olivia: User, tmp_path: Path) -> None:
    record_many(orders(6))
    told = run(
        "activity", "--as", "olivia", "--purpose", "audit", "--format", "csv", "--filter", "actor=actor-1", "--to",
        tmp_path,
    )  # fmt: skip
    export = Export.objects.get()
    path = tmp_path / f"auditlog-export-{export.pk}.asice"
    assert told == f"{path}\n2 entries (2 valid)\nSHA-256 {export.file_sha256}\n"
    with path.open("rb") as file:
        claim = Manifest.from_json(open_container(file).read("manifest.json")).claim
    assert claim.purpose.startswith("audit (by command, ")


def test_it_takes_entries_one_by_one(olivia: User, tmp_path: Path) -> None:
    leaves = [receipt.leaf_index for receipt in record_many(orders(4))]
    named = f"leaf_indexes={leaves[0]},{leaves[3]}"
    told = run("activity", "--as", "olivia", "--purpose", "audit", "--filter", named, "--to", tmp_path)
    assert "\n2 entries (2 valid)\n" in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--as", "nobody"], "no open account nobody"),
        (["--as", "kim"], "kim has no export key"),
        (["--as", "olivia", "--filter", "actor"], "NAME=TEXT"),
        (["--as", "olivia", "--filter", "ip=x"], "ip must be"),
        (["--as", "olivia", "--filter", "leaf_indexes=0,900,901"], "no leaf 900: .*no leaf 901: "),
        (["--as", "olivia", "--filter", "limit=10"], "limit is for a page of the log"),
        (["--as", "olivia", "--purpose", " "], "needs a purpose"),
        (["--as", "olivia", "--to", "/nonexistent"], "is no directory"),
    ],
)
def test_it_says_what_is_wrong(site: Database, olivia: User, arguments: list[str], why: str) -> None:
    person("kim", has_key=False)
    with pytest.raises(CommandError, match=why):
        run("activity", "--purpose", "audit", *arguments)
    assert not Export.objects.exists()
