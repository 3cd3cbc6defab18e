"""The guards of ledgers and keys; rule and reason stand at the head of each function in sql/."""

from pathlib import Path
from typing import ClassVar

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


def _file(name: str) -> migrations.RunSQL:
    return migrations.RunSQL((_SQL / f"{name}.sql").read_text(), (_SQL / f"{name}.reverse.sql").read_text())


class Migration(migrations.Migration):
    """Guards come after the tables that they watch."""

    dependencies: ClassVar = [("signing", "0001_initial")]
    operations: ClassVar = [_file("0002_ledgers"), _file("0002_keys")]
