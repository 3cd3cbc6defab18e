"""Rows that become leaves as they are inserted, and one leaf appended at less cost."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations, models

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """A column that is null in every row there is, and functions."""

    dependencies: ClassVar = [("signing", "0004_append")]
    operations: ClassVar = [
        migrations.AddField("ledgerhead", "begun_by", models.BigIntegerField(null=True)),
        migrations.RunSQL((_SQL / "0005_streams.sql").read_text(), (_SQL / "0005_streams.reverse.sql").read_text()),
    ]
