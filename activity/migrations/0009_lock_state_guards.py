"""The guard of versions lets the state of locks change, which another guard watches; the archive names the override."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Functions of 0007 in a new form."""

    dependencies: ClassVar = [("activity", "0008_lock_state"), ("activity", "0007_revision_guards")]
    operations: ClassVar = [
        migrations.RunSQL(
            (_SQL / "0009_lock_state.sql").read_text(), (_SQL / "0009_lock_state.reverse.sql").read_text()
        ),
    ]
