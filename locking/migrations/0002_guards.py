"""The guards of locked entries (AL002), of locks, overrides and policies (AL006), and the functions that write them."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Puts a guard on activity's table; activity learns only that the database refused."""

    dependencies: ClassVar = [
        ("locking", "0001_initial"),
        ("activity", "0009_lock_state_guards"),
        ("signing", "0002_guards"),
    ]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0002_locks.sql").read_text(), (_SQL / "0002_locks.reverse.sql").read_text()),
    ]
