"""Workers as processes of their own, on the real roles: one is killed, several make one export together."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.test import override_settings

from activity.services import record_many
from exports import services
from exports.container import open_container
from exports.models import Export, ExportPart
from tests.clusters import PROJECT, Database
from tests.exports.ordering import made, orders
from tests.signing.installation import wait_until

_PARTS = 60
# Works as a task does, slowly, and says at its end how many parts it made.
_WORKER = """
import sys, time, uuid, django
django.setup()
from exports import services
real, made = services._make_next_part, []
def slow(export):
    time.sleep(0.02)
    made.append(real(export))
    return made[-1]
services._make_next_part = slow
services.work(export=uuid.UUID(sys.argv[1]))
print(sum(made))
"""


@pytest.fixture
def export(olivia: User, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Return an order of many parts, which nobody works on yet."""
    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(services, "PART_LEAVES", 16)
    record_many(orders(16 * _PARTS))
    return services.order(by=olivia, ledger="activity", filters={}, formats=["csv", "ndjson"], purpose="audit").export


@pytest.fixture
def start(site: Database) -> Iterator[Callable[[Export], subprocess.Popen[str]]]:
    """Give what starts a worker; those that still run are ended at last."""
    environment = site.environment() | {
        "AUDITLOG_EXPORT_DIR": storages["exports"].location,  # type: ignore[attr-defined] # a directory, in tests
        "AUDITLOG_TRUST_FILE": str(site.anchors / "trust.vkeys"),
        "DJANGO_SETTINGS_MODULE": "auditlog_project.settings",
    }
    with ExitStack() as stack:

        @contextmanager
        def running(export: Export) -> Iterator[subprocess.Popen[str]]:
            command = [sys.executable, "-W", "ignore", "-c", _WORKER, str(export.pk)]
            with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as worker:
                try:
                    yield worker
                finally:
                    worker.kill()

        yield lambda export: stack.enter_context(running(export))


def done(export: Export) -> int:
    return ExportPart.objects.filter(export=export).exclude(done_at=None).count()


def content(export: Export) -> dict[str, bytes]:
    with storages["exports"].open(export.file) as file:
        container = open_container(file)
        return {name: container.read(name) for name in ("entries.csv", "entries.ndjson")}


def test_a_killed_worker_costs_its_part_and_two_others_finish_together(
    export: Export, start: Callable[[Export], subprocess.Popen[str]]
) -> None:
    victim = start(export)
    wait_until(lambda: done(export) >= 2)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    left = export.parts.count() - done(export)
    export.refresh_from_db()
    assert (export.state, left > _PARTS // 2) == (Export.State.RUNNING, True)
    told = [worker.communicate()[0] for worker in [start(export), start(export)]]
    assert all(int(made) > 0 for made in told), told
    assert sum(map(int, told)) == left
    export.refresh_from_db()
    assert export.state == Export.State.READY, export.failure
    assert export.entries == export.size
    alone = services.order(
        by=User.objects.get(), ledger="activity", filters={"leaf_to": str(export.size)},
        formats=["csv", "ndjson"], purpose="the same by one",
    ).export  # fmt: skip
    services.work(export=alone.pk)
    alone.refresh_from_db()
    assert content(alone) == content(export)


def test_files_lie_in_whatever_storage_is_configured(olivia: User) -> None:
    """A bucket has no paths: here one that keeps everything in memory."""
    elsewhere = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    with override_settings(STORAGES={**settings.STORAGES, "exports": elsewhere}):
        record_many(orders(3))
        export = made(olivia, ("pdf", "csv"), type="shop.order")
        assert storages["exports"].exists(export.file)
        taken = services.download(export=export, by=olivia)
        assert len(b"".join(taken.pieces)) == export.file_size
        assert b"".join(services.download(export=export, by=olivia, name="entries.csv").pieces).count(b"\r\n") == 4
        Export.objects.update(expires_at=export.finished_at)
        assert services.expire() == 1
        assert not storages["exports"].exists(export.file)
