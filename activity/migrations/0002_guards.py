"""The guards of entries: append-only (AL001) and never outside their ledger (AL003)."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """The guard functions are signing's."""

    dependencies: ClassVar = [("activity", "0001_initial"), ("signing", "0002_guards")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0002_entries.sql").read_text(), (_SQL / "0002_entries.reverse.sql").read_text()),
    ]
