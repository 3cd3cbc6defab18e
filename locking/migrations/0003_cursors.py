"""The cursor of a policy skips nothing: one of time could be led past entries, whose deadline nobody had written."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Replaces one function."""

    dependencies: ClassVar = [("locking", "0002_guards")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0003_cursors.sql").read_text(), (_SQL / "0003_cursors.reverse.sql").read_text()),
    ]
