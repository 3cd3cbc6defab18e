"""The table of archives, and the guards that let rows of meta logs go for one; what they are stands in sql/."""

from pathlib import Path
from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

_SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    """Two of the guard functions are signing's."""

    dependencies: ClassVar = [("metaaudit", "0002_guards"), ("signing", "0004_append")]
    operations: ClassVar = [
        migrations.CreateModel(
            name="MetaArchive",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("leaf_index", models.BigIntegerField()),
                ("record", models.BinaryField()),
                ("signature", models.BinaryField()),
                ("first_leaf", models.BigIntegerField()),
                ("end_leaf", models.BigIntegerField()),
                (
                    "key",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="signing.signingkey",
                    ),
                ),
                (
                    "ledger",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="signing.ledger",
                    ),
                ),
            ],
            options={
                "verbose_name": "archive of meta logs",
                "verbose_name_plural": "archives of meta logs",
                "db_table": "meta_archives",
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("ledger", "first_leaf"), name="one_archive_per_first_leaf")
                ],
            },
        ),
        migrations.RunSQL((_SQL / "0003_archives.sql").read_text(), (_SQL / "0003_archives.reverse.sql").read_text()),
    ]
