"""A policy that is set anew with another filter, kind or length locks all that is due so."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"
_WAY_BACK = import_module("locking.migrations.0011_way_back")


class Migration(migrations.Migration):
    """Replaces one function; undone before any other migration of locks, and not while something is locked."""

    dependencies: ClassVar = [("locking", "0011_way_back")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0012_set_anew.sql").read_text(), (_SQL / "0012_set_anew.reverse.sql").read_text()),
        migrations.RunPython(migrations.RunPython.noop, _WAY_BACK.refuse_while_locked),
    ]
