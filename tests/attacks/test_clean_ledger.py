"""A ledger that nobody touched never alarms: the ground on which every test of tampering stands."""

from tests.attacks.conftest import Attacked
from tests.attacks.intruder import assert_clean, verify


def test_a_ledger_of_1000_real_events_is_valid(attacked: Attacked) -> None:
    found = verify()
    assert (found.exit_code, found.outcome) == (0, "valid"), found.reports
    assert {name: report["findings"] for name, report in found.reports.items()} == {
        "keys": [],
        "activity": [],
        "meta": [],
    }
    activity = found.reports["activity"]
    assert activity["size"] == attacked.recorded.size == 1006
    assert activity["signed"] > 300 < activity["unsigned"]


def test_it_is_valid_again_since_the_last_verification(attacked: Attacked) -> None:
    assert_clean()
    assert_clean("--since-last")
    assert verify("--since-last").reports["activity"]["since"] == attacked.recorded.size
