"""A policy of time is disabled or set anew once all that is past its deadline is in locks of it, whoever sets it."""

from importlib import import_module
from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"
_WAY_BACK = import_module("locking.migrations.0011_way_back")


class Migration(migrations.Migration):
    """Replaces one function and adds another; undone before any other, and not while something is locked."""

    dependencies: ClassVar = [("locking", "0012_set_anew")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0013_left_out.sql").read_text(), (_SQL / "0013_left_out.reverse.sql").read_text()),
        migrations.RunPython(migrations.RunPython.noop, _WAY_BACK.refuse_while_locked),
    ]
