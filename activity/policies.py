"""Which log type an event belongs to. Pure: patterns in, the policy of a type out.

pattern = type | prefix.* | *            the longest pattern that matches wins; an exact type is longest of all
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from activity.errors import LogTypeError
from activity.event import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATTERN = re.compile(r"\*|[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*(\.\*)?")


@dataclass(frozen=True, slots=True)
class Policy:
    """How entries of a type are kept; `algorithm` names the slot of the entry key that signs, if one must."""

    pattern: str
    requires_signature: bool
    algorithm: str


DEFAULT = Policy("", requires_signature=True, algorithm="Ed25519")  # of a type that no pattern matches


class Policies:
    """The log types as they stand, for matching many events."""

    def __init__(self, policies: Iterable[Policy], digest: str = "") -> None:
        """`digest` stands for these log types in the database, see queries.py."""
        self.digest = digest
        self._by_pattern = {policy.pattern: policy for policy in policies}
        self._found: dict[str, Policy | None] = {}

    def match(self, type_name: str) -> Policy | None:
        """Return the policy of the longest pattern that matches, or None."""
        if type_name not in self._found:
            self._found[type_name] = self._search(type_name)
        return self._found[type_name]

    def signing_algorithms(self) -> set[str]:
        """Return the algorithms that some pattern requires."""
        return {policy.algorithm for policy in self._by_pattern.values() if policy.requires_signature}

    def _search(self, type_name: str) -> Policy | None:
        if type_name in self._by_pattern:
            return self._by_pattern[type_name]
        prefix = type_name
        while "." in prefix:
            prefix = prefix.rpartition(".")[0]
            if f"{prefix}.*" in self._by_pattern:
                return self._by_pattern[f"{prefix}.*"]
        return self._by_pattern.get("*")


def require_pattern(pattern: str) -> None:
    """Raise LogTypeError unless the text is a pattern."""
    if len(pattern) > MAX_CHARACTERS["type"] or not _PATTERN.fullmatch(pattern):
        raise LogTypeError(f"{pattern!r} is no pattern: write a type such as auth.login, a prefix such as auth.*, or *")
