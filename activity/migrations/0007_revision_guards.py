"""The guards of amendments and removals (AL001, AL003); the database itself archives what they supersede."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Entries were wholly append-only before; nothing in a row of an existing installation changes."""

    dependencies: ClassVar = [("activity", "0006_revisions"), ("signing", "0002_guards")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0007_revisions.sql").read_text(), (_SQL / "0007_revisions.reverse.sql").read_text()),
    ]
