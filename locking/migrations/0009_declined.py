"""A request for a release can be declined by another person, and withdrawn by who asked."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations, models

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Adds columns that are empty, and replaces two functions."""

    dependencies: ClassVar = [("locking", "0008_indexes")]
    operations: ClassVar = [
        migrations.AddField("loglock", "declined_by", models.CharField(max_length=150, null=True)),
        migrations.AddField("loglock", "declined_at", models.DateTimeField(null=True)),
        migrations.AddField("loglock", "decline_reason", models.TextField(null=True)),
        migrations.AddField("loglock", "declined_record", models.UUIDField(null=True)),
        migrations.RunSQL((_SQL / "0009_declined.sql").read_text(), (_SQL / "0009_declined.reverse.sql").read_text()),
    ]
