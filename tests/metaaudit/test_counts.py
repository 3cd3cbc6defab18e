"""What is counted ends up in one summary a minute, in a ledger of its own, however many there were."""

import json
import time
from collections.abc import Iterator

import pytest
from django.test import override_settings

from metaaudit import counts
from metaaudit.models import MetaLog
from metaaudit.services import SUMMARY_LEDGER
from metaaudit.tasks import summarise
from tests.clusters import Database


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    counts._waiting.clear()
    monkeypatch.setattr(counts, "_sent_at", time.monotonic())
    yield
    counts._waiting.clear()


def a_minute_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("metaaudit.counts.time.time", lambda: now + 60)


def test_a_finished_minute_is_one_record(
    broker: str, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        counts.add("ingest")
    counts.add("strangers-401:192.0.2.9")
    counts.flush()
    summarise()
    assert not MetaLog.objects.exists(), "the minute is not over"
    a_minute_later(monkeypatch)
    summarise()
    summarise()
    (one,) = MetaLog.objects.all()
    assert (one.ledger.name, one.action, one.user_id) == (SUMMARY_LEDGER, "summary", "system:metaaudit.summarise")
    assert (one.query, one.result_count) == ([["ingest", "3"], ["strangers-401:192.0.2.9", "1"]], 4)
    assert one.path.startswith("counts:20")
    assert counts.finished_minutes() == {}


def test_a_flood_from_many_addresses_stays_one_bounded_record(
    broker: str, fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for process in range(3):
        for number in range(500):
            counts.add(f"strangers-404:2001:db8:{process}::{number:x}")
        counts.flush()
    a_minute_later(monkeypatch)
    summarise()
    (one,) = MetaLog.objects.all()
    said = dict(map(tuple, json.loads(bytes(one.record))["query"]))
    assert len(said) <= counts.MAX_NAMES + 1
    assert sum(map(int, said.values())) == one.result_count == 1_500
    assert int(said["strangers-404:others"]) == 900


def test_several_processes_count_together(broker: str) -> None:
    counts.add("tile")
    counts.flush()
    counts.add("tile")
    counts.flush()
    minute = int(time.time()) // 60 * 60
    (key,) = {counts._key(each) for each in (minute, minute - 60) if counts._client(broker).exists(counts._key(each))}
    assert counts._client(broker).hgetall(key) == {b"tile": b"2"}


def test_without_the_store_counts_wait() -> None:
    with override_settings(REDIS_URL="unix:///nonexistent/valkey.sock"):
        counts.add("tile")
        counts.flush()
    assert counts._waiting == {"tile": 1}


def test_one_request_a_second_goes_to_the_store(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(counts, "flush", lambda: sent.append(1))
    counts.add("tile")
    assert sent == []
    monkeypatch.setattr(counts, "_sent_at", time.monotonic() - 1.1)
    counts.add("tile")
    counts.add("tile")
    assert sent == [1]
