"""Appending in whole levels of the tree: the same rows and refusals at half the cost."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Functions alone; no row changes."""

    dependencies: ClassVar = [("signing", "0003_export_certificates")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0004_append.sql").read_text(), (_SQL / "0004_append.reverse.sql").read_text())
    ]
