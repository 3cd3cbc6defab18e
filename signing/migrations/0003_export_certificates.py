"""Certificates of people who sign exports; what their guard lets through stands in sql/."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

_SQL = Path(__file__).parent / "sql"
_NAME = "0003_export_certificates"


class Migration(migrations.Migration):
    dependencies = [
        ("signing", "0002_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExportCertificate",
            fields=[
                (
                    "key",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="certificate",
                        serialize=False,
                        to="signing.signingkey",
                    ),
                ),
                ("person", models.CharField(max_length=150)),
                ("certificate", models.BinaryField(null=True)),
                (
                    "chain",
                    django.contrib.postgres.fields.ArrayField(base_field=models.BinaryField(), default=list, size=None),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("revoked_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "export_certificates",
                "ordering": ["created_at", "key"],
            },
        ),
        migrations.AlterField(
            model_name="signingkey",
            name="purpose",
            field=models.CharField(
                choices=[("entry", "Entry"), ("checkpoint", "Checkpoint"), ("export", "Export"), ("ca", "Ca")],
                max_length=16,
            ),
        ),
        migrations.RunSQL((_SQL / f"{_NAME}.sql").read_text(), (_SQL / f"{_NAME}.reverse.sql").read_text()),
    ]
