"""What came out of the verification of a ledger. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from signing.verdicts import ALARMS, Finding, Verdict, outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_FINDINGS = 1_000  # of one run; more of them say nothing new


@dataclass(slots=True)
class Report:
    """What came out of the verification of one ledger, of its leaves from `since` to `size`; `root` is of them all."""

    ledger: str
    since: int
    size: int
    root: bytes
    findings: list[Finding] = field(default_factory=list)
    count: Counter[Verdict] = field(default_factory=Counter)  # of all findings, also those beyond MAX_FINDINGS
    signed: int = 0
    unsigned: int = 0
    archived: int = 0  # leaves whose rows a rule took away, as the ledger itself says
    first_bad_leaf: int | None = None  # the lowest leaf that an alarm names

    @property
    def outcome(self) -> Verdict:
        """`valid`, `tampered` or `cannot_tell`."""
        return outcome(self.count)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep them up to MAX_FINDINGS."""
        for finding in findings:
            self.count[finding.verdict] += 1
            if finding.verdict in ALARMS and finding.leaf_index is not None:
                lowest = finding.leaf_index if self.first_bad_leaf is None else self.first_bad_leaf
                self.first_bad_leaf = min(lowest, finding.leaf_index)
            if len(self.findings) < MAX_FINDINGS:
                self.findings.append(finding)

    def take(self, part: Report) -> None:
        """Add what a report of some of these leaves says."""
        self.signed += part.signed
        self.unsigned += part.unsigned
        self.archived += part.archived
        self.count += part.count
        self.findings += part.findings[: MAX_FINDINGS - len(self.findings)]
        named = [leaf for leaf in (self.first_bad_leaf, part.first_bad_leaf) if leaf is not None]
        self.first_bad_leaf = min(named, default=None)

    def summary(self) -> str:
        """Return one line: what was read and what it showed."""
        read = f"{self.size:,} leaves" if self.since == 0 else f"leaves {self.since:,} to {self.size:,}"
        kinds = f", {self.signed:,} signed, {self.unsigned:,} without signature" if self.signed or self.unsigned else ""
        kinds += f", {self.archived:,} archived" if self.archived else ""
        found = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(self.count.items())) or "nothing amiss"
        return f"{read}{kinds}: {found}"

    def as_json(self) -> dict[str, object]:
        """Return the report for machines; hashes in hex."""
        return {
            "ledger": self.ledger,
            "outcome": self.outcome,
            "since": self.since,
            "size": self.size,
            "root": self.root.hex(),
            "signed": self.signed,
            "unsigned": self.unsigned,
            "archived": self.archived,
            "first_bad_leaf": self.first_bad_leaf,
            "count": dict(self.count),
            "findings": [asdict(finding) for finding in self.findings],
        }
