"""Ending an override waits for whoever changes an entry under it, instead of both for each other."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces one function."""

    dependencies: ClassVar = [("locking", "0005_chunks")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0006_order.sql").read_text(), (_SQL / "0006_order.reverse.sql").read_text()),
    ]
