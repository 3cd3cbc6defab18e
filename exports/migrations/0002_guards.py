"""The guards of exports (AL001): facts stay, states go forward, parts are made once."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Triggers on both tables."""

    dependencies: ClassVar = [("exports", "0001_initial")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0002_exports.sql").read_text(), (_SQL / "0002_exports.reverse.sql").read_text()),
    ]
