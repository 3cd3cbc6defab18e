"""A lock of many entries takes less time: its guard and its chunks ask the same questions with less work."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces two functions."""

    dependencies: ClassVar = [("locking", "0004_extensions")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0005_chunks.sql").read_text(), (_SQL / "0005_chunks.reverse.sql").read_text()),
    ]
