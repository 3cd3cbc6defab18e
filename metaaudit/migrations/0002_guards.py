"""The guards of the meta log, and the column of leaves; what they are stands in sql/."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """The guard functions are signing's."""

    dependencies: ClassVar = [("metaaudit", "0001_initial"), ("signing", "0002_guards")]
    operations: ClassVar = [
        migrations.RunSQL((_SQL / "0002_guards.sql").read_text(), (_SQL / "0002_guards.reverse.sql").read_text()),
    ]
