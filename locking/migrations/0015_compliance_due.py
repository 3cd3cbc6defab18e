"""No override is for what a policy puts under compliance, also before the lock of the day has come to it."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"
_WAY_BACK = import_module("locking.migrations.0011_way_back")


class Migration(migrations.Migration):
    """Replaces one function; undone before any other, and not while something is locked."""

    dependencies: ClassVar = [("locking", "0014_archive")]
    operations: ClassVar = [
        migrations.RunSQL(
            (_SQL / "0015_compliance_due.sql").read_text(), (_SQL / "0015_compliance_due.reverse.sql").read_text()
        ),
        migrations.RunPython(migrations.RunPython.noop, _WAY_BACK.refuse_while_locked),
    ]
