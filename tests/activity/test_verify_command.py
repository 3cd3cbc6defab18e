"""`verify` as a user runs it: what it prints and how it exits."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.clusters import Database
from tests.signing.installation import anchor_all, record, unguarded

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def database(fresh_database: Database) -> Database:
    record(5)
    anchor_all()
    return fresh_database


def verify(database: Database, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "verify", *arguments],
        cwd=PROJECT,
        env=database.environment() | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def tamper(database: Database) -> int:
    with unguarded(database, "activity_logs") as connection:
        row = connection.execute(
            "UPDATE activity_logs SET actor = 'mallory' WHERE leaf_index = "
            "(SELECT max(leaf_index) - 2 FROM activity_logs) RETURNING leaf_index"
        ).fetchone()
    return int(row[0])


def test_clean_pinned_and_anchored_is_valid(database: Database) -> None:
    done = verify(database)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "Outcome: valid"
    again = verify(database, "--since-last")
    assert again.returncode == 0, again.stdout


def test_since_last_reads_the_newest_anchors_alone(database: Database) -> None:
    assert verify(database).returncode == 0
    anchor_all()  # another one of the same size
    *_, older, newest = sorted((database.anchors / "activity").glob("*.checkpoint"))
    assert older.read_bytes() == newest.read_bytes()
    older.write_bytes(b"cut off")
    assert verify(database, "--since-last").returncode == 0
    everything = verify(database)
    assert everything.returncode == 2
    assert older.name in everything.stderr


def test_tampering_exits_with_1_and_names_the_first_bad_leaf(database: Database) -> None:
    leaf = tamper(database)
    done = verify(database, "--ledger", "activity")
    assert done.returncode == 1
    assert f"First bad leaf: activity {leaf}\n" in done.stdout
    assert "columns differ from the record: actor" in done.stdout
    assert done.stdout.endswith("Outcome: tampered\n")


def test_without_pin_and_anchor_nothing_can_be_ruled_out(database: Database) -> None:
    done = verify(database, AUDITLOG_ANCHOR_DIR="")
    assert done.returncode == 2
    assert "cannot be ruled out" in done.stdout
    assert done.stdout.endswith("Outcome: cannot_tell\n")
    named = verify(
        database,
        *("--anchor", str(database.anchors), "--trust", str(database.anchors / "trust.vkeys")),
        AUDITLOG_ANCHOR_DIR="",
    )
    assert named.returncode == 0, named.stdout


def test_json_is_one_object_and_nothing_else(database: Database) -> None:
    leaf = tamper(database)
    done = verify(database, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["outcome"] == "tampered"
    assert [report["ledger"] for report in said["ledgers"]] == ["keys", "activity", "meta", "meta-summaries"]
    activity = said["ledgers"][1]
    assert set(activity) == {
        *("ledger", "outcome", "since", "size", "root", "signed", "unsigned", "archived"),
        *("first_bad_leaf", "count", "findings"),
    }
    assert (activity["first_bad_leaf"], activity["count"]) == (leaf, {"tampered": 1})
    assert set(activity["findings"][0]) == {"ledger", "leaf_index", "verdict", "reason"}
    assert len(bytes.fromhex(activity["root"])) == 32


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--ledger", "gone"], "there is no ledger 'gone'"),
        (["--trust", "/nonexistent/trust"], "the trust file /nonexistent/trust cannot be used"),
        (["--anchor", "/nonexistent/anchors"], "the anchors in /nonexistent/anchors cannot be used"),
    ],
)
def test_what_cannot_be_read_is_cannot_tell(database: Database, arguments: list[str], sentence: str) -> None:
    done = verify(database, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
