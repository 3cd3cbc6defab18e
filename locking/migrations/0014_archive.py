"""The archive keeps earlier versions of what is past a deadline and in no lock yet, too."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"
_WAY_BACK = import_module("locking.migrations.0011_way_back")


class Migration(migrations.Migration):
    """Puts a guard on activity's archive; undone before any other, and not while something is locked."""

    dependencies: ClassVar = [("locking", "0013_left_out")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0014_archive.sql").read_text(), (_SQL / "0014_archive.reverse.sql").read_text()),
        migrations.RunPython(migrations.RunPython.noop, _WAY_BACK.refuse_while_locked),
    ]
