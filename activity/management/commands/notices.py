"""`manage.py notices list|test`: what verification found and who was told; whether notices arrive."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from activity import notices, queries
from activity.models import Delivery

_SHOWN = 50


class Command(BaseCommand):
    help = (
        "Notices of what the scheduled verification found. `list` shows open findings and what was not delivered yet; "
        "`test` sends a notice to every configured receiver now and says whether it arrived. Receivers: "
        "AUDITLOG_NOTICE_EMAILS, AUDITLOG_NOTICE_WEBHOOKS."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("what", choices=["list", "test"])

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "test":
            self._test()
        else:
            self._list()

    def _list(self) -> None:
        findings = queries.open_findings()
        for finding in findings[:_SHOWN]:
            self.stdout.write(f"{finding.found_at:%Y-%m-%d %H:%M} UTC  {finding}")
        count = findings.count()
        self.stdout.write(
            f"{count:,} open findings" + (f", of which the newest {_SHOWN} are shown" if count > _SHOWN else "")
        )
        for delivery in Delivery.objects.filter(delivered_at=None).order_by("pk")[:_SHOWN]:
            state = "given up" if delivery.attempts >= notices.ATTEMPTS else "waiting"
            self.stdout.write(
                f"{state}: {delivery} to {delivery.receiver}, {delivery.attempts} attempts {delivery.last_error}"
            )

    def _test(self) -> None:
        if not notices.receivers():
            raise CommandError("Nobody is configured: set AUDITLOG_NOTICE_EMAILS or AUDITLOG_NOTICE_WEBHOOKS.")
        deliveries = notices.send_test()
        for delivery in deliveries:
            result = "arrived" if delivery.delivered_at else f"failed: {delivery.last_error}"
            self.stdout.write(f"{delivery.kind} {delivery.receiver}: {result}")
        if any(delivery.delivered_at is None for delivery in deliveries):
            raise CommandError("Not every notice arrived; those that did not are tried again by the worker.")
