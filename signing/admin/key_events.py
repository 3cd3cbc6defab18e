"""Key events: the records of the `keys` ledger, which verification believes. The newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from django.contrib import admin

from signing.admin.pages import ReadOnlyAdmin, Section, code, text_block
from signing.key_texts import told
from signing.merkle import leaf_hash
from signing.models import KeyEvent

if TYPE_CHECKING:
    from django.http import HttpRequest


@admin.register(KeyEvent)
class KeyEventAdmin(ReadOnlyAdmin):
    """What became of keys and ledgers, by whom and why."""

    list_display = ("leaf_index", "at", "event", "concerns", "by", "reason")

    def at(self, event: KeyEvent) -> str:
        """Return when, as the record says it."""
        return str(told(event.record).get("at", "?"))

    def event(self, event: KeyEvent) -> str:
        """Return what happened."""
        return str(told(event.record).get("event", "not a record of ours"))

    def concerns(self, event: KeyEvent) -> str:
        """Return the key or ledger that it happened to."""
        said = told(event.record)
        return str(said.get("key") or said.get("name", "?"))

    def by(self, event: KeyEvent) -> str:
        """Return who did it."""
        return str(told(event.record).get("by", "?"))

    def reason(self, event: KeyEvent) -> str:
        """Return why."""
        return str(told(event.record).get("reason", "?"))

    def title_of(self, found: KeyEvent) -> str:  # type: ignore[override]
        """Return the place in the keys ledger."""
        return f"Key event, leaf {found.leaf_index}"

    def sections(self, request: HttpRequest, found: KeyEvent) -> list[Section]:
        """Return the record, readable and as it is stored."""
        del request
        record = bytes(found.record)
        said = [(name, str(value)) for name, value in told(record).items() if not isinstance(value, dict)]
        nested = [
            (name, orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
            for name, value in told(record).items()
            if isinstance(value, dict)
        ]
        shown = [(name, text_block(text)) for name, text in nested]
        return [
            Section("What it says", [*said, *shown]),
            Section(
                "As it is stored",
                [
                    ("Record", text_block(record.decode(errors="backslashreplace"))),
                    ("Leaf hash", code(leaf_hash(record).hex())),
                ],
            ),
        ]
