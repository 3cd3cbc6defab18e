"""Scheduled verification: what it finds is kept, told once to everybody, and marked when it is gone."""

import base64
import io
import logging
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import override_settings

from activity import notices, queries, tasks, watch
from activity.models import Delivery, Notice, OpenFinding, VerificationRun
from auditlog_project.celery import app
from signing.models import Ledger
from tests.clusters import Database
from tests.signing.installation import anchor_all, record, wait_until

SECRET = "a secret of the tests, long enough"


class Receiver:
    """A web server that keeps what it is sent; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 204
        self.location = ""
        self.sent: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.sent.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hook"


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()


@pytest.fixture
def webhook() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def watched(fresh_database: Database, webhook: Receiver) -> Iterator[Database]:
    record(5)
    anchor_all()
    with override_settings(
        AUDITLOG_NOTICE_EMAILS=["ada@example.org"],
        AUDITLOG_NOTICE_WEBHOOKS=[webhook.address],
        AUDITLOG_WEBHOOK_SECRET=SECRET,
        EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend",
    ):
        mail.outbox = []
        yield fresh_database


def tamper(database: Database, actor: str = "eve", leaf: int | None = None) -> int:
    intruder = database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    where = "type = 'test.event'" if leaf is None else f"leaf_index = {leaf}"
    row = intruder.execute(f"SELECT max(leaf_index) FROM activity_logs WHERE {where}").fetchone()
    assert row is not None
    intruder.execute("UPDATE activity_logs SET actor = %s WHERE leaf_index = %s", (actor, row[0]))
    return int(row[0])


def test_a_clean_ledger_tells_nobody_anything(watched: Database, webhook: Receiver) -> None:
    for task in (tasks.verify_recent, tasks.verify_whole, tasks.send_notices):
        task()
    assert all(queries.last_run(ledger, whole=True) for ledger in Ledger.objects.all())
    assert {run.outcome for run in VerificationRun.objects.all()} == {"valid"}
    assert not OpenFinding.objects.exists()
    assert (mail.outbox, webhook.sent) == ([], [])


def test_a_finding_is_told_once_logged_and_marked_when_it_is_gone(
    watched: Database, webhook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    leaf = tamper(watched)
    for _ in range(2):
        for task in (tasks.verify_whole, tasks.verify_recent, tasks.send_notices):
            task()
    (finding,) = queries.open_findings()
    assert (finding.ledger, finding.leaf_index, finding.verdict) == ("activity", leaf, "tampered")
    assert [entry.levelno for entry in caplog.records if "leaf" in entry.getMessage()] == [logging.ERROR]
    (letter,) = mail.outbox
    assert letter.to == ["ada@example.org"]
    assert f"activity, leaf {leaf}: tampered: columns differ from the record: actor" in letter.body
    ((headers, body),) = webhook.sent
    assert orjson.loads(body)["findings"] == [
        {"ledger": "activity", "leaf_index": leaf, "verdict": "tampered", "reason": finding.reason}
    ]
    signed = notices.signature(headers["webhook-id"], headers["webhook-timestamp"], body)
    assert headers["webhook-signature"] == signed
    tamper(watched, actor="ann", leaf=leaf)
    tasks.verify_recent()
    assert queries.open_findings().exists(), "only a whole run shows that something is gone"
    tasks.verify_whole()
    assert not queries.open_findings().exists()
    assert OpenFinding.objects.get().gone_at is not None
    tamper(watched, actor="mallory", leaf=leaf)
    for task in (tasks.verify_whole, tasks.send_notices):
        task()
    assert (len(mail.outbox), len(webhook.sent)) == (2, 2), "what comes back is told again"


def test_the_signature_is_the_one_that_openssl_makes(watched: Database, tmp_path: Any) -> None:
    (tmp_path / "said").write_bytes(b"notice-7.1790000000." + b'{"a":1}')
    made = subprocess.run(
        [str(shutil.which("openssl")), "dgst", "-sha256", "-hmac", SECRET, "-binary", str(tmp_path / "said")],
        check=True,
        capture_output=True,
    ).stdout
    assert notices.signature("notice-7", "1790000000", b'{"a":1}') == f"v1,{base64.b64encode(made).decode()}"


def test_what_does_not_arrive_is_tried_again_and_nothing_twice(watched: Database, webhook: Receiver) -> None:
    tamper(watched)
    tasks.verify_whole()
    webhook.status = 500
    assert notices.deliver_due() == 1, "the e-mail"
    late = Delivery.objects.get(delivered_at=None)
    assert (late.kind, late.attempts, late.last_error) == ("webhook", 1, "HTTPError 500")
    assert timedelta(0) < late.next_attempt_at - datetime.now(UTC) < timedelta(minutes=1)
    assert notices.deliver_due() == 0, "it is not due yet"
    webhook.status = 200
    Delivery.objects.update(next_attempt_at=datetime.now(UTC))
    assert notices.deliver_due() == 1
    assert notices.deliver_due() == 0
    assert (len(mail.outbox), len(webhook.sent)) == (1, 2)
    assert webhook.sent[0][0]["webhook-id"] == webhook.sent[1][0]["webhook-id"]


def test_a_receiver_that_is_away_for_good_is_given_up(
    watched: Database, webhook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(watched)
    tasks.verify_whole()
    webhook.status = 500
    for _ in range(notices.ATTEMPTS + 2):
        notices.deliver_due()
        Delivery.objects.filter(delivered_at=None).update(next_attempt_at=datetime.now(UTC))
    assert len(webhook.sent) == notices.ATTEMPTS
    assert [entry.getMessage() for entry in caplog.records if "given up" in entry.getMessage()]


def test_a_redirect_is_not_followed(watched: Database, webhook: Receiver) -> None:
    with receiving() as elsewhere:
        webhook.status, webhook.location = 307, elsewhere.address
        tamper(watched)
        tasks.verify_whole()
        notices.deliver_due()
        assert len(webhook.sent) == 1
        assert elsewhere.sent == []
    assert Delivery.objects.get(kind="webhook").last_error == "HTTPError 307"


def test_an_email_goes_over_a_real_connection(watched: Database) -> None:
    said: list[bytes] = []

    class Smtp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                said.append(line)
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    said.extend(iter(self.rfile.readline, b".\r\n"))
                self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")
                if line.upper().startswith(b"QUIT"):
                    return

    with socketserver.TCPServer(("127.0.0.1", 0), Smtp) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with override_settings(
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=server.server_address[1],
            AUDITLOG_NOTICE_WEBHOOKS=[],
        ):
            (delivery,) = notices.send_test()
        thread.join()
    assert delivery.delivered_at is not None
    assert b"To: ada@example.org\r\n" in said
    assert any(b"This is a test" in line for line in said)


def test_two_verifications_of_a_kind_do_not_run_at_once(watched: Database) -> None:
    other = watched.app()
    other.execute("SELECT pg_advisory_lock(%s)", (watch._LOCKS[watch.WHOLE],))
    assert not watch.run(watch.WHOLE)
    assert not VerificationRun.objects.exists()
    assert watch.run(watch.RECENT)
    other.close()
    # The server notices in its own time that the session is gone.
    wait_until(lambda: watch.run(watch.WHOLE))


def test_that_nothing_could_be_verified_is_told_too(watched: Database, tmp_path: Any) -> None:
    with override_settings(AUDITLOG_ANCHOR_DIR=str(tmp_path / "unmounted")), pytest.raises(OSError, match="unmounted"):
        tasks.verify_recent()
    (finding,) = queries.open_findings()
    assert str(finding) == "*: cannot_tell: the recent verification could not be done: FileNotFoundError"
    notices.deliver_due()
    assert len(mail.outbox) == 1
    tasks.verify_recent()
    assert not queries.open_findings().exists()


def test_that_verification_stopped_is_noticed(watched: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.verify_whole()
    tasks.send_notices()
    assert not queries.open_findings().exists()
    monkeypatch.setattr(watch, "TOO_LATE", {watch.RECENT: timedelta(0), watch.WHOLE: timedelta(hours=26)})
    tasks.send_notices()
    tasks.send_notices()
    (finding,) = queries.open_findings()
    assert "no recent verification has ended within" in finding.reason
    assert len(mail.outbox) == 1
    tasks.verify_recent()
    assert not queries.open_findings().exists()


def test_a_finding_can_be_marked_but_not_removed_by_the_application(watched: Database) -> None:
    tamper(watched)
    tasks.verify_whole()
    app_role = watched.app()
    for attack in ("DELETE FROM open_findings", "UPDATE open_findings SET reason = ''", "DELETE FROM notices"):
        with pytest.raises(Exception, match="permission denied"):
            app_role.execute(attack.encode())


def test_beat_knows_tasks_that_are_there() -> None:
    app.loader.import_default_modules()
    for entry in settings.CELERY_BEAT_SCHEDULE.values():
        assert entry["task"] in app.tasks
    assert settings.CELERY_BEAT_SCHEDULE["verify recent"]["schedule"] == 300


def test_a_notice_needs_no_finding_to_be_tried_out(watched: Database, webhook: Receiver) -> None:
    deliveries = notices.send_test()
    assert {(one.kind, one.delivered_at is not None) for one in deliveries} == {("email", True), ("webhook", True)}
    assert Notice.objects.get().findings.count() == 0
    assert "test notice" in mail.outbox[0].subject


def told(*arguments: str) -> str:
    said = io.StringIO()
    call_command("notices", *arguments, stdout=said)
    return said.getvalue()


def test_the_command_lists_and_tries_out(watched: Database, webhook: Receiver) -> None:
    assert told("list") == "0 open findings\n"
    assert told("test").count(": arrived\n") == 2
    leaf = tamper(watched)
    tasks.verify_whole()
    webhook.status = 500
    notices.deliver_due()
    listed = told("list")
    assert f"activity, leaf {leaf}: tampered" in listed
    assert f"waiting: notice 2 by webhook to {webhook.address}, 1 attempts HTTPError 500" in listed
    with pytest.raises(CommandError, match="Not every notice arrived"):
        told("test")
    with (
        override_settings(AUDITLOG_NOTICE_EMAILS=[], AUDITLOG_NOTICE_WEBHOOKS=[]),
        pytest.raises(CommandError, match="set"),
    ):
        told("test")
