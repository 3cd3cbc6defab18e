"""Kill -9 of web, worker, PostgreSQL and broker at random while events come in: every acknowledgement is kept.

./auditlog test tests/attacks/test_kill_nine.py                    40 runs, another seed each time
./auditlog test … --kill-runs 500 --kill-seed 7                    more of them; the seed of a failure again
"""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from activity import authority, brought
from auditlog_project import posture
from auditlog_project.embedded.valkey import ValkeyServer
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from tests.attacks.intruder import verify
from tests.clusters import Cluster, Database
from tests.crashes import SOURCE, Broken, Promise, Site, Writers, broken

CHECKED_RECEIPTS = 100


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Give a server that nobody else uses."""
    mortal = Cluster("mortal")
    mortal.start()
    try:
        yield mortal
    finally:
        mortal.leave()


@pytest.fixture
def database(cluster: Cluster, django_db_blocker: Any) -> Iterator[Database]:
    with django_db_blocker.unblock(), cluster.clone() as database, database.as_django_databases():
        try:
            yield database
        finally:
            # The session with which the cluster works died with its server.
            cluster.server.start()
            vars(cluster)["_superuser"].close()
            vars(cluster)["_superuser"] = psycopg.connect(cluster.server.superuser_url(), autocommit=True)


@pytest.fixture
def site(database: Database, tmp_path: Path) -> Iterator[Site]:
    state = database.cluster.state / "valkey"
    valkey = ValkeyServer(state)
    valkey.start()
    try:
        with Site(database, valkey, tmp_path) as site:
            yield site
    finally:
        valkey.start()
        valkey.stop()
        shutil.rmtree(state)


def new_key() -> str:
    _, key = authority.create_api_key(
        name="writer", scopes=["logs:write"], ledger="activity", source=SOURCE, by="ada", reason="test"
    )
    connections.close_all()
    return key


@pytest.mark.slow
def test_every_acknowledged_event_survives_any_kill(site: Site, pytestconfig: pytest.Config) -> None:
    runs = pytestconfig.getoption("--kill-runs")
    seed = pytestconfig.getoption("--kill-seed") or random.SystemRandom().randrange(10**6)
    print(f"repeat with --kill-runs {runs} --kill-seed {seed}")  # noqa: T201 pytest shows it if the test fails
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    with Writers(site.web.port, new_key(), seed) as writers:
        writers.wait_until_each_wrote()
        for writers.run in range(1, runs + 1):
            victim = chance.choice(Site.victims)
            print(f"run {writers.run}: {victim}, {len(writers.promises)} events are acknowledged")  # noqa: T201
            site.send_tasks()
            time.sleep(chance.uniform(0, 0.3))
            site.kill(victim)
            killed[victim] += 1
            time.sleep(chance.uniform(0, 0.1))
            site.start(victim)
            writers.wait_until_each_wrote()
    assert writers.refusals == []
    assert len(writers.promises) > runs
    assert sum(killed.values()) == runs
    assert broken(site.database, writers.promises) == Broken([], [], [])
    require_verifiable(writers.promises, chance)


def require_verifiable(promises: list[Promise], chance: random.Random) -> None:
    """Require that the whole installation verifies, and each receipt of a sample."""
    sign_checkpoint(ledger_named("activity"), force_anchor=True)
    found = verify()
    assert (found.exit_code, found.outcome) == (0, "valid"), found.reports
    for promise in chance.sample(promises, min(CHECKED_RECEIPTS, len(promises))):
        judgement = brought.judge({"receipt": promise.receipt})
        assert judgement.verdict == "valid", (promise, judgement)


@pytest.mark.slow
def test_without_synchronous_commit_the_same_harness_reports_losses(site: Site) -> None:
    """The positive control: a setting that the posture check refuses, brought in behind its back."""
    key = new_key()
    # After the web process looked, so that it starts; its sessions begin only now. Nothing else makes PostgreSQL
    # write what it acknowledged: the WAL writer comes by every ten seconds, and this crash comes sooner.
    with psycopg.connect(site.database.url("superuser"), autocommit=True) as superuser:
        superuser.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        superuser.execute("SELECT pg_reload_conf()")
        superuser.execute("ALTER ROLE auditlog_app SET synchronous_commit = off")
    try:
        assert "synchronous_commit is off" in str(posture.serving_problems())
        connections.close_all()
        with Writers(site.web.port, key, seed=1) as writers:
            writers.wait_until_each_wrote()
            site.kill("database")
        site.start("database")
    finally:
        with psycopg.connect(site.database.url("superuser"), autocommit=True) as superuser:
            superuser.execute("ALTER ROLE auditlog_app RESET synchronous_commit")
            superuser.execute("ALTER SYSTEM RESET wal_writer_delay")
    found = broken(site.database, writers.promises)
    assert found.lost, f"none of {len(writers.promises)} acknowledged events was lost"
