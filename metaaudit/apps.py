"""The app that records every access to the log."""

from django.apps import AppConfig


class MetaauditConfig(AppConfig):
    """Floor 4: watches all below; named in settings and wiring, imported by no other app."""

    name = "metaaudit"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let `verify` and exports know how ledgers of meta logs are read."""
        from activity.verification import CHECKS  # noqa: PLC0415 -- it needs the loaded models
        from exports.sources import SOURCES  # noqa: PLC0415 -- the same
        from metaaudit.extraction import SOURCE  # noqa: PLC0415 -- the same
        from metaaudit.verification import MetaLedgerCheck  # noqa: PLC0415 -- the same
        from signing.models import Ledger  # noqa: PLC0415 -- the same

        CHECKS[Ledger.Kind.META] = MetaLedgerCheck
        SOURCES[Ledger.Kind.META] = SOURCE
