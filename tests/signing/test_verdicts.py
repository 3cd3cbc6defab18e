"""What many verdicts come to."""

import pytest

from signing.verdicts import Finding, Verdict, outcome


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], Verdict.VALID),
        ([Verdict.UNSIGNED, Verdict.REMOVED, Verdict.ERASED], Verdict.VALID),
        ([Verdict.CANNOT_TELL], Verdict.CANNOT_TELL),
        ([Verdict.UNTRUSTED_KEY], Verdict.CANNOT_TELL),
        ([Verdict.CANNOT_TELL, Verdict.TAMPERED], Verdict.TAMPERED),
        ([Verdict.MISSING, Verdict.VALID], Verdict.TAMPERED),
    ],
)
def test_an_alarm_outweighs_a_doubt_and_a_doubt_silence(found: list[Verdict], expected: Verdict) -> None:
    assert outcome(found) == expected


def test_a_finding_says_where_what_and_why() -> None:
    assert str(Finding("activity", 7, Verdict.TAMPERED, "so")) == "activity, leaf 7: tampered: so"
    assert str(Finding("activity", None, Verdict.MISSING, "so")) == "activity: missing: so"
