"""What the verifier says: one line a check, in plain words, and one outcome. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_EXAMPLES = 5


class State(StrEnum):
    """How a check came out. Names inside reports are for ever."""

    OK = "ok"
    NOTE = "note"  # nothing that could be wrong, but the reader should know
    NOT_CHECKED = "not checked"
    CANNOT_TELL = "cannot tell"
    WRONG = "WRONG"


class Name(StrEnum):
    """What is checked, in the order of the table."""

    CONTAINER = "container"
    DIGESTS = "files"
    SIGNATURE = "signature"
    CERTIFICATE = "certificate"
    SIGNER = "signer"
    TIME_STAMP = "time stamp"
    MANIFEST = "manifest"
    RECORDS = "records"
    MARKED = "marked entries"
    PROOFS = "proof"
    CHECKPOINT = "checkpoint"
    ENTRY_SIGNATURES = "entry signatures"
    CSV = "CSV"
    JSON = "JSON"
    PDF = "PDF"
    PDF_SIGNATURE = "PDF signature"
    PDF_REVISIONS = "PDF revisions"
    PDF_CONTENT = "PDF content"


_ORDER = {name: place for place, name in enumerate(Name)}
_DOUBTS = frozenset({State.NOT_CHECKED, State.CANNOT_TELL})
_OUTCOMES = {0: "valid", 1: "tampered", 2: "cannot_tell"}
_SENTENCES = {
    0: "All is right: nothing was changed, and every key that signed is pinned.",
    1: "Something was CHANGED or does not belong: do not rely on it.",
    2: "Nothing is wrong that can be seen, but something cannot be told.",
}
_MARKED = (
    "Entries in it are marked: when it was made they did not verify, or had been removed. "
    "Nothing else is wrong that can be seen."
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    name: Name
    state: State
    text: str


@dataclass(slots=True)
class Report:
    """The checks of one file."""

    file: str
    checks: list[Check] = field(default_factory=list)

    def ok(self, name: Name, text: str) -> None:
        """Say what was found right."""
        self.checks.append(Check(name, State.OK, text))

    def note(self, name: Name, text: str) -> None:
        """Say what is neither right nor wrong."""
        self.checks.append(Check(name, State.NOTE, text))

    def wrong(self, name: Name, text: str) -> None:
        """Say what is wrong."""
        self.checks.append(Check(name, State.WRONG, text))

    def cannot_tell(self, name: Name, text: str) -> None:
        """Say what cannot be told, and why."""
        self.checks.append(Check(name, State.CANNOT_TELL, text))

    def not_checked(self, name: Name, text: str) -> None:
        """Say what would need another file."""
        self.checks.append(Check(name, State.NOT_CHECKED, text))

    @property
    def exit_code(self) -> int:
        """0 all is right, 1 something is wrong, 2 something cannot be told."""
        states = {check.state for check in self.checks}
        if State.WRONG in states:
            return 1
        return 2 if states & _DOUBTS or State.OK not in states else 0

    @property
    def has_marked(self) -> bool:
        """Tell whether the export itself says that entries in it did not verify."""
        return any(check.name == Name.MARKED for check in self.checks)

    @property
    def sentence(self) -> str:
        """What it comes to."""
        return _MARKED if self.has_marked and self.exit_code != 1 else _SENTENCES[self.exit_code]

    def ordered(self) -> list[Check]:
        """Return the checks in the order of the table; what container and report both show is said once."""
        return sorted(dict.fromkeys(self.checks), key=lambda check: _ORDER[check.name])

    def table(self) -> str:
        """Return the report for a person."""
        checks = self.ordered()
        width = max((len(check.name) for check in checks), default=0)
        states = max((len(check.state) for check in checks), default=0)
        lines = [f"{check.state:<{states}}  {check.name:<{width}}  {visible(check.text)}" for check in checks]
        return "\n".join([visible(self.file), *lines, f"=> {self.sentence}", ""])

    def to_dict(self) -> dict[str, Any]:
        """Return the report for a machine."""
        checks = [{"check": check.name, "state": check.state.lower(), "text": check.text} for check in self.ordered()]
        return {"file": self.file, "outcome": _OUTCOMES[self.exit_code], "checks": checks}


def to_json(reports: list[Report]) -> str:
    """Return several reports as one JSON object."""
    return json.dumps({"reports": [report.to_dict() for report in reports]}, ensure_ascii=False)


def visible(text: str) -> str:
    """Return a text in which nothing moves a terminal's cursor or turns the direction of writing."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


def examples(found: list[str], total: int) -> str:
    """Return the first of many findings as one text."""
    shown = "; ".join(found[:MAX_EXAMPLES])
    return shown if total <= MAX_EXAMPLES else f"{shown}; and {total - MAX_EXAMPLES} more"
