"""An entry is free once the lock of its retention policy has ended: its deadline is obeyed no more."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"
_WAY_BACK = import_module("locking.migrations.0011_way_back")


class Migration(migrations.Migration):
    """Replaces functions and triggers; undone before any other, and not while something is locked."""

    dependencies: ClassVar = [("activity", "0011_was_held_by"), ("locking", "0015_compliance_due")]
    operations: ClassVar = [
        migrations.RunSQL(
            (_SQL / "0016_lock_ended.sql").read_text(), (_SQL / "0016_lock_ended.reverse.sql").read_text()
        ),
        migrations.RunPython(migrations.RunPython.noop, _WAY_BACK.refuse_while_locked),
    ]
