"""The log types that a new installation starts with."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Data only."""

    dependencies: ClassVar = [("activity", "0002_guards")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0003_log_types.sql").read_text(), (_SQL / "0003_log_types.reverse.sql").read_text()),
    ]
