"""Which log type an event belongs to."""

import pytest

from activity.errors import LogTypeError
from activity.policies import Policies, Policy, require_pattern

POLICIES = Policies(
    Policy(pattern, requires_signature=True, algorithm="Ed25519")
    for pattern in ("auth.*", "auth.login", "auth.login.*", "auth.token.refresh.*", "shop")
)


@pytest.mark.parametrize(
    ("type_name", "pattern"),
    [
        ("auth.login", "auth.login"),
        ("auth.login.failed", "auth.login.*"),
        ("auth.logout", "auth.*"),
        ("auth.token.refresh", "auth.*"),
        ("auth.token.refresh.late", "auth.token.refresh.*"),
        ("shop", "shop"),
        ("shop.order", None),
        ("auth", None),
        ("authority", None),
    ],
)
def test_the_longest_pattern_wins(type_name: str, pattern: str | None) -> None:
    found = POLICIES.match(type_name)
    assert (found and found.pattern) == pattern
    assert POLICIES.match(type_name) is found, "the second look gives the same"


def test_a_star_alone_takes_what_nothing_else_matches() -> None:
    policies = Policies([Policy("*", requires_signature=False, algorithm="Ed25519")])
    found = policies.match("whatever.it.is")
    assert found is not None
    assert found.pattern == "*"


@pytest.mark.parametrize("pattern", ["*", "auth", "auth.login", "auth.*", "a-b_c.d.*", "x" * 200])
def test_a_pattern_is_taken(pattern: str) -> None:
    require_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", ".*", "auth*", "*.login", "auth.*.x", "Auth", "auth.", "a b", "x" * 201])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(LogTypeError, match="is no pattern"):
        require_pattern(pattern)
