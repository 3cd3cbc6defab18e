"""An extension that a crash has cut off goes on: how far it came stands on the lock."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations, models

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Adds a column with a constant default, and replaces the two functions that extend."""

    dependencies: ClassVar = [("locking", "0003_cursors")]
    operations: ClassVar = [
        migrations.AddField("loglock", "extended_to", models.BigIntegerField(db_default=2**63 - 1)),
        migrations.RunSQL(
            (_SQL / "0004_extensions.sql").read_text(), (_SQL / "0004_extensions.reverse.sql").read_text()
        ),
    ]
