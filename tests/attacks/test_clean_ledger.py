"""A ledger that nobody touched never alarms: the ground on which every test of tampering stands."""

import itertools
import subprocess
import sys
import threading
from functools import partial

from django.db import connection

from activity.services import record
from signing.services import rotate_key
from tests.attacks.conftest import Attacked, another_event
from tests.attacks.intruder import assert_clean, verify
from tests.clusters import PROJECT


def test_a_ledger_of_1000_real_events_is_valid(attacked: Attacked) -> None:
    found = verify()
    assert (found.exit_code, found.outcome) == (0, "valid"), found.reports
    assert {name: report["findings"] for name, report in found.reports.items()} == {
        "keys": [],
        "activity": [],
        "meta": [],
        "meta-summaries": [],
    }
    activity = found.reports["activity"]
    assert activity["size"] == attacked.recorded.size == 1006
    assert activity["signed"] > 300 < activity["unsigned"]


def test_it_is_valid_again_since_the_last_verification(attacked: Attacked) -> None:
    assert_clean()
    assert_clean("--since-last")
    assert verify("--since-last").reports["activity"]["since"] == attacked.recorded.size


def test_it_never_alarms_while_writers_append_and_keys_rotate(attacked: Attacked) -> None:
    stop = threading.Event()

    def write() -> None:
        try:
            for number in itertools.count(1):
                if stop.is_set():
                    break
                record(another_event(number))
                if number % 20 == 0:
                    rotate_key(purpose="checkpoint", algorithm="Ed25519", by="ada", reason="a test")
        finally:
            connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for arguments in [(), ("--since-last",)] * 4:
            found = verify(*arguments)
            assert (found.exit_code, found.outcome) == (0, "valid"), found.reports
    finally:
        stop.set()
        writer.join()
    assert_clean()


def test_the_exit_code_of_the_process_says_what_was_found(attacked: Attacked) -> None:
    command = [sys.executable, "manage.py", "verify", "--ledger", "activity"]
    environment = attacked.database.environment()
    run = partial(subprocess.run, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run(command, env=environment).returncode == 0
    assert run(command, env=environment | {"AUDITLOG_ANCHOR_DIR": "", "AUDITLOG_TRUST_FILE": ""}).returncode == 2
    attacked.intruder.edit(300, target="elsewhere")
    tampered = run(command, env=environment)
    assert tampered.returncode == 1
    assert "First bad leaf: activity 300" in tampered.stdout
